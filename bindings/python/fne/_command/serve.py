"""`fne serve`: a page on this machine over a finished job."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._command.arguments import add_goal, add_images, add_saved_model_choice, images_of, new_command
from fne._command.gallery import Gallery
from fne._command.output import flush, give, say
from fne._command.searching import add_comparison, check_finished, job_model
from fne._command.serving import Server

_PORT = 8765


def add_command(commands: Any) -> None:
    """Adds `fne serve`."""
    command = new_command(
        commands,
        "serve",
        run,
        "Shows a finished job in a browser: click an image, or drop one, and see its neighbours. "
        "They are those of fne search. The page is for this machine alone; with --host, others need the address with "
        "the token that is printed. Ctrl-C ends it.",
        "examples:\n"
        "  fne serve job\n"
        "  fne serve job --model network.pb --images photographs\n"
        "  fne serve job --host 0.0.0.0 --port 0",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("--model", help="the job's network, for images that are dropped (where it was)")
    add_saved_model_choice(command)
    add_comparison(command)
    add_images(command)
    add_goal(command, "latency", "images that are dropped one at a time, or throughput for the very rows of the job")
    command.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1)")
    command.add_argument(
        "--port", type=int, default=_PORT, metavar="N", help=f"the port; 0: any that is free ({_PORT})"
    )


def run(given: argparse.Namespace) -> None:
    """Runs `fne serve`."""
    job = fne.Job(given.job)
    check_finished(job)
    images = images_of(job, given.images)
    gallery = Gallery(
        job, lambda: job_model(job, given), images, given.layers, given.metric, given.expand, goal=given.goal
    )
    with Server(gallery, given.host, given.port) as server:
        say(f"{server.address} shows '{job.folder}'; Ctrl-C ends it")
        give({"address": server.address, "job": str(job.folder)})
        flush()
        gallery.prepare()
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            say("stopped")
        finally:
            server.server_close()
            gallery.close()
