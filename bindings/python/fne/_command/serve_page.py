"""The page of `fne serve`. It is the same for every job: names come from the server, as JSON, and are shown as text."""

from __future__ import annotations

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<title>Full-Network Embedding</title>
</head>
<body>
<header>
<h1 id="title">&nbsp;</h1>
<p id="about">&nbsp;</p>
<form id="form">
<label class="file" tabindex="0">Choose an image<input type="file" id="file" accept="image/*"></label>
<label>class <select id="class"><option value="">all</option></select></label>
<label>layers <input id="layers" list="names" spellcheck="false" autocomplete="off"></label>
<datalist id="names"></datalist>
<label>images <input id="k" type="number" min="1" max="200" value="20"></label>
<button>Search</button>
</form>
<p id="network" role="status"></p>
</header>
<p id="message" role="alert" hidden></p>
<section id="result" hidden>
<h2>Nearest images</h2>
<div id="query"></div>
<p id="compared"></p>
<div class="grid" id="found"></div>
</section>
<section>
<h2>Images of the job</h2>
<p id="shown"></p>
<div class="grid" id="images"></div>
<p><button id="more" type="button" hidden>More images</button></p>
</section>
<dialog id="large"><img id="picture" alt=""><p id="caption"></p></dialog>
<script src="page.js"></script>
</body>
</html>
"""

STYLE = """
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.5rem 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
p{margin:.3rem 0}#about,#compared,#shown,#network,figcaption span{color:#52606d}
form{display:flex;flex-wrap:wrap;gap:.7rem 1.2rem;align-items:center;margin:.9rem 0 .3rem}
form label{display:flex;gap:.4rem;align-items:center;max-width:100%}
input,select,button{font:inherit;padding:.25rem .5rem;border:1px solid #9aa7b4;border-radius:4px;background:#fff}
select,#layers{width:13rem;max-width:100%;min-width:0}#k{width:4.5rem}
button,.file{border:1px solid #1b5f93;background:#1b5f93;color:#fff;border-radius:4px}
button,.file{padding:.25rem .8rem;cursor:pointer}
.file input{position:absolute;opacity:0;width:1px;height:1px}
.file:focus-within,button:focus-visible,figure:focus-visible{outline:3px solid #e69f00;outline-offset:1px}
.off{background:#e4e9ee;border-color:#c3ccd5;color:#52606d;cursor:not-allowed}
#message{background:#fdecea;color:#8a1c12;padding:.5rem .8rem;border-radius:4px;overflow-wrap:anywhere}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.9rem}
figure{margin:0;cursor:pointer;min-width:0}
.tile{aspect-ratio:1;background:#e4e9ee;display:flex;align-items:center;justify-content:center;color:#52606d}
.tile img{width:100%;height:100%;object-fit:cover;display:block}
figcaption{font-size:.78rem;line-height:1.3;overflow-wrap:anywhere;padding-top:.2rem}figcaption span{display:block}
#query{max-width:8.5rem}#query figure{cursor:default}
body.over{outline:4px dashed #1b5f93;outline-offset:-8px}
dialog{border:0;padding:1rem;max-width:95vw;max-height:95vh;overflow:auto}
dialog img{max-width:100%;max-height:80vh;display:block;margin:auto}
dialog::backdrop{background:#1c2733cc}
"""

SCRIPT = r"""'use strict'
const $ = id => document.getElementById(id)
const page = 60
let shown = 0, last = null, turn = 0, uploaded = null

function make(tag, text, name) {
  const made = document.createElement(tag)
  if (text !== undefined) made.textContent = text
  if (name) made.className = name
  return made
}

function say(words) {
  $('message').textContent = words
  $('message').hidden = !words
}

async function ask(address, options) {
  const response = await fetch(address, options)
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

function figure(entry, isQuery) {
  const made = make('figure'), tile = make('div', undefined, 'tile'), picture = make('img')
  picture.alt = ''
  picture.loading = 'lazy'
  picture.src = 'picture?image=' + entry.image
  picture.onerror = () => tile.replaceChildren(make('span', 'no picture'))
  tile.append(picture)
  const caption = make('figcaption', entry.name)
  if (entry.score !== undefined) caption.append(make('span', entry.score.toFixed(4)))
  made.append(tile, caption)
  made.title = entry.name
  if (isQuery) tile.onclick = () => enlarge(entry)
  else {
    made.tabIndex = 0
    made.onclick = () => search({image: entry.image})
    made.onkeydown = event => { if (event.key === 'Enter') search({image: entry.image}) }
  }
  return made
}

function enlarge(entry) {
  $('picture').src = 'picture?large&image=' + entry.image
  $('caption').textContent = entry.name
  $('large').showModal()
}

function chosen() {
  const parts = new URLSearchParams({k: $('k').value || '20'})
  for (const part of $('layers').value.split(/[\s,]+/)) if (part) parts.append('layers', part)
  if ($('class').selectedIndex > 0) parts.append('class', $('class').value)
  return parts
}

async function search(query) {
  const mine = ++turn, parts = chosen()
  last = query
  say('')
  $('compared').textContent = 'searching'
  $('found').replaceChildren()
  $('result').hidden = false
  showQuery(query)
  try {
    if (query.file) var answer = await ask('api/near?' + parts, {method: 'POST', body: query.file})
    else { parts.append('image', query.image); answer = await ask('api/near?' + parts) }
    if (mine !== turn) return
    if (answer.query) $('query').replaceChildren(figure(answer.query, true))
    $('compared').textContent = answer.compared
    $('found').replaceChildren(...answer.found.map(entry => figure(entry)))
    if (!answer.found.length) $('found').append(make('p', 'No other image is there.'))
  } catch (failure) {
    if (mine !== turn) return
    $('result').hidden = true
    say(failure.message)
  }
  scrollTo({top: 0})
}

function showQuery(query) {
  if (uploaded) URL.revokeObjectURL(uploaded)
  uploaded = null
  if (!query.file) return
  uploaded = URL.createObjectURL(query.file)
  const made = make('figure'), tile = make('div', undefined, 'tile'), picture = make('img')
  picture.alt = ''
  picture.src = uploaded
  picture.onerror = () => tile.replaceChildren(make('span', 'no preview'))
  tile.append(picture)
  made.append(tile, make('figcaption', query.file.name))
  $('query').replaceChildren(made)
}

async function list(isNew) {
  if (isNew) { shown = 0; $('images').replaceChildren() }
  const parts = new URLSearchParams({first: shown, count: page})
  if ($('class').selectedIndex > 0) parts.append('class', $('class').value)
  try {
    const answer = await ask('api/images?' + parts)
    $('images').append(...answer.images.map(entry => figure(entry)))
    shown += answer.images.length
    $('shown').textContent = shown + ' of ' + answer.total + '. Click one to see its neighbours.'
    $('more').hidden = shown >= answer.total
  } catch (failure) { say(failure.message) }
}

function network(state) {
  const isOff = state.state === 'none'
  document.querySelector('.file').classList.toggle('off', isOff)
  $('file').disabled = isOff
  $('network').textContent = {
    loading: 'The network is being opened. Images can be clicked already.',
    ready: 'Drop an image anywhere on this page, or click one below.',
    none: 'Images cannot be dropped here, since the network is not there: ' + state.reason + '. Clicking works.'
  }[state.state]
}

async function start() {
  history.replaceState(null, '', location.pathname)
  try {
    let about = await ask('api/job')
    document.title = about.name + ': Full-Network Embedding'
    $('title').textContent = about.name
    $('about').textContent = about.embedded + ' images of ' + about.images + ' are embedded, in ' +
      about.layers.length + ' layers'
    $('layers').placeholder = about.selectors.join(' ')
    for (const [name, count] of about.classes) {
      const option = make('option', (name || 'no folder') + ' (' + count + ')')
      option.value = name
      $('class').append(option)
    }
    for (const name of [...about.offered, ...about.layers]) {
      const option = make('option')
      option.value = name
      $('names').append(option)
    }
    list(true)
    network(about.network)
    while (about.network.state === 'loading') {
      await new Promise(done => setTimeout(done, 500))
      about = await ask('api/job')
      network(about.network)
    }
  } catch (failure) { say(failure.message) }
}

$('form').onsubmit = event => { event.preventDefault(); if (last) search(last); else say('Choose or click an image.') }
$('class').onchange = () => { list(true); if (last) search(last) }
$('file').onchange = () => { if ($('file').files[0]) search({file: $('file').files[0]}); $('file').value = '' }
$('more').onclick = () => list(false)
$('large').onclick = () => $('large').close()
let depth = 0
ondragenter = event => { event.preventDefault(); depth++; document.body.classList.add('over') }
ondragleave = () => { if (--depth <= 0) { depth = 0; document.body.classList.remove('over') } }
ondragover = event => event.preventDefault()
ondrop = event => {
  event.preventDefault()
  depth = 0
  document.body.classList.remove('over')
  const file = event.dataTransfer.files[0]
  if ($('file').disabled) say($('network').textContent)
  else if (file) search({file})
}
start()
"""
