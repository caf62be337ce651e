#!/bin/bash
#SBATCH --job-name=fne
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Embeds a data set by a Slurm array, one shard for each task, and merges the shards when all are finished.
#
#     SOURCE=/shared/list.txt MODEL=/shared/network.pb OUTPUT=/shared/flowers SHARDS=64 examples/distributed/slurm.sh
#
# SOURCE is a folder, or a list of names. All machines must be able to read SOURCE and MODEL, and to write OUTPUT.
# EMBED_OPTIONS are further options of `fne embed`, such as "--size 224 --precision bfloat16", and MERGE_OPTIONS those
# of `fne merge`, such as "--codes packed". OUTPUT/job is what one job over all images would be, byte by byte.
#
# A task that was killed, and that Slurm starts again, goes on where it stopped. So does the whole, by the same command.
# Shards that are finished then end at once.
set -euo pipefail
: "${SOURCE:?}" "${MODEL:?}" "${OUTPUT:?}" "${SHARDS:?}"
read -ra embed_options <<<"${EMBED_OPTIONS:-}"
read -ra merge_options <<<"${MERGE_OPTIONS:-}"

case "${1:-submit}" in
submit)
    mkdir -p "$OUTPUT/shards" "$OUTPUT/logs"
    # The array may run fewer tasks at once: --array=0-63%8.
    array=$(sbatch --parsable --array="0-$((SHARDS - 1))" --output="$OUTPUT/logs/%A-%a.txt" --export=ALL "$0" embed)
    array=${array%%;*} # a federation of clusters adds its name
    sbatch --dependency="afterok:$array" --kill-on-invalid-dep=yes --output="$OUTPUT/logs/%j-merge.txt" --export=ALL \
        "$0" merge
    ;;
embed)
    # SHARDS, and not SLURM_ARRAY_TASK_COUNT: an array of one index alone, to repeat a shard, counts one task.
    exec fne embed "$SOURCE" "$MODEL" "$OUTPUT/shards/$SLURM_ARRAY_TASK_ID" --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" \
        --quiet ${embed_options[@]+"${embed_options[@]}"}
    ;;
merge)
    shards=()
    for ((shard = 0; shard < SHARDS; shard++)); do
        shards+=("$OUTPUT/shards/$shard")
    done
    exec fne merge "$OUTPUT/job" "${shards[@]}" --quiet ${merge_options[@]+"${merge_options[@]}"}
    ;;
*)
    echo "usage: $0 [submit | embed | merge]" >&2
    exit 2
    ;;
esac
