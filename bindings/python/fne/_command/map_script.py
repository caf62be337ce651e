"""The script and the style of the report's map. They are the same for every job, as the page's policy needs."""

from __future__ import annotations

STYLE = """
#map{position:relative;height:38rem;max-height:80vh;background:#f7f9fa;overflow:hidden;border:1px solid #d5dde5}
#map canvas{position:absolute;left:0;top:0;width:100%;height:100%}#marks{pointer-events:none}
#points{cursor:crosshair;touch-action:none}#points:focus-visible{outline:3px solid #e69f00;outline-offset:-3px}
#tip{position:absolute;pointer-events:none;max-width:20rem;background:#fff;border:1px solid #9aa7b4}
#tip{border-radius:4px;padding:.4rem .6rem;font-size:.8rem;line-height:1.35;overflow-wrap:anywhere}
#tip{box-shadow:0 2px 8px #1c273333}
#tip img{float:right;width:4rem;height:4rem;object-fit:cover;margin-left:.5rem}#tip ol,#opened ol{padding-left:1.4rem}
#tip ol{margin:.2rem 0 0;color:#3d4c5a}#tip[hidden]{display:none}
#said{min-height:1.5em;font-size:.85rem;overflow-wrap:anywhere;margin:.3rem 0}
#tools{margin:.5rem 0 0}#tools button,#large button{font:inherit;padding:.15rem .7rem;margin-right:.4rem}
#tools button,#large button,#legend button{border:1px solid #9aa7b4;border-radius:4px;background:#fff;cursor:pointer}
#tools button[aria-pressed=true]{background:#0b4f7d;color:#fff}
#legend{display:flex;flex-wrap:wrap;gap:.3rem;font-size:.8rem;max-height:11rem;overflow:auto}
#legend button{font:inherit;display:flex;gap:.35rem;align-items:center;padding:.1rem .5rem;max-width:16rem}
#legend button span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
#legend button[aria-pressed=false]{opacity:.45;text-decoration:line-through}#legend p{margin:.2rem}
dialog{border:0;padding:1rem;width:34rem;max-width:92vw;max-height:92vh;overflow:auto;overflow-wrap:anywhere}
dialog::backdrop{background:#1c2733cc}#opened>img{width:14rem;height:14rem;object-fit:cover;display:block}
#opened li{cursor:pointer}#opened li button{font:inherit;border:0;background:none;color:#0b4f7d;text-align:left}
#opened li button{text-decoration:underline;cursor:pointer;overflow-wrap:anywhere}
.many{flex-wrap:wrap}.many figure:first-child{margin-right:0}
"""

#: The colours are those that people with any kind of colour blindness tell apart (Okabe and Ito). Each stands with
#: each of six shapes. Names come as JSON, and are shown as text. A grid of cells finds the point under the mouse.
SCRIPT = r"""'use strict'
{
const $ = id => document.getElementById(id)
const data = JSON.parse($('points-data').textContent)
const count = data.names.length, side = 10000, colours = [
  '#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#f0e442', '#000000']
const shapes = [
  (c, r) => c.arc(0, 0, r, 0, 7),
  (c, r) => c.rect(-.9 * r, -.9 * r, 1.8 * r, 1.8 * r),
  (c, r) => polygon(c, r * 1.2, 3, -Math.PI / 2),
  (c, r) => polygon(c, r * 1.2, 4, 0),
  (c, r) => polygon(c, r * 1.2, 3, Math.PI / 2),
  (c, r) => { for (let i = 0; i < 12; i++) {
    const [x, y] = [[1.2, .4], [.4, .4], [.4, 1.2]][i % 3], q = Math.floor(i / 3)
    c.lineTo(...[[x, y], [-y, x], [-x, -y], [y, -x]][q].map(v => v * r))
  } c.closePath() }]
const styled = colours.length * shapes.length
const points = $('points'), marks = $('marks'), tip = $('tip')
const hidden = new Set(), outliers = new Set(data.outliers), thumbnails = {}
let width = 1, height = 1, ratio = 1, zoom = 1, left = 0, top_ = 0, at = -1, drag = null, isPictures = false

function polygon(c, r, corners, turn) {
  for (let i = 0; i < corners; i++) {
    const angle = turn + i * 2 * Math.PI / corners
    c.lineTo(r * Math.cos(angle), r * Math.sin(angle))
  }
  c.closePath()
}

function make(tag, text) {
  const made = document.createElement(tag)
  if (text !== undefined) made.textContent = text
  return made
}

// ---- a grid over the map: the nearest point is looked for in a few cells

const cells = 64, grid = Array.from({length: cells * cells}, () => [])
const cell = value => Math.max(0, Math.min(cells - 1, Math.floor(value * cells / (side + 1))))
for (let i = 0; i < count; i++) grid[cell(data.y[i]) * cells + cell(data.x[i])].push(i)

function nearest(px, py, reach) {
  const [x, y] = [inverseX(px), inverseY(py)], rx = reach / scaleX(), ry = reach / scaleY()
  let best = -1, least = reach * reach
  for (let row = cell(y - ry); row <= cell(y + ry); row++)
    for (let column = cell(x - rx); column <= cell(x + rx); column++)
      for (const i of grid[row * cells + column]) {
        if (hidden.has(data.class[i])) continue
        const far = (screenX(i) - px) ** 2 + (screenY(i) - py) ** 2
        if (far < least) { best = i; least = far }
      }
  return best
}

// ---- from the map to the screen

const margin = 24
const scaleX = () => zoom * (width - 2 * margin) / side, scaleY = () => zoom * (height - 2 * margin) / side
const screenX = i => margin + (data.x[i] - left) * scaleX(), screenY = i => margin + (data.y[i] - top_) * scaleY()
const inverseX = px => (px - margin) / scaleX() + left, inverseY = py => (py - margin) / scaleY() + top_

function zoomTo(next, px, py) {
  const [x, y] = [inverseX(px), inverseY(py)]
  zoom = Math.max(1, Math.min(200, next))
  left = x - (px - margin) / scaleX()
  top_ = y - (py - margin) / scaleY()
  bound()
  draw()
}

function bound() {
  const room = side * (1 - 1 / zoom)
  left = Math.max(0, Math.min(room, left))
  top_ = Math.max(0, Math.min(room, top_))
}

// ---- drawing

const smallest = count > 8000 ? 2.2 : count > 2000 ? 2.8 : count > 300 ? 3.6 : 5
const radius = () => Math.min(9, smallest * Math.sqrt(Math.min(zoom, 6)))

function sprite(number, r) {
  const made = make('canvas'), half = Math.ceil((r * 1.3 + 1.5) * ratio)
  made.width = made.height = 2 * half
  const c = made.getContext('2d')
  c.translate(half, half)
  c.scale(ratio, ratio)
  c.beginPath()
  shapes[number < styled ? Math.floor(number / colours.length) : 0](c, r)
  c.fillStyle = number < styled ? colours[number % colours.length] : '#9aa7b4'
  c.fill()
  c.lineWidth = .6
  c.strokeStyle = number % colours.length === 6 ? '#6b640099' : '#ffffffaa'
  c.stroke()
  return made
}

function draw() {
  const c = points.getContext('2d'), r = radius(), sprites = {}
  c.clearRect(0, 0, points.width, points.height)
  for (const i of order) {
    const number = data.class[i]
    if (hidden.has(number)) continue
    const x = screenX(i) * ratio, y = screenY(i) * ratio
    if (x < -20 || y < -20 || x > points.width + 20 || y > points.height + 20) continue
    const drawn = sprites[number] ||= sprite(number, r)
    c.drawImage(drawn, Math.round(x - drawn.width / 2), Math.round(y - drawn.height / 2))
  }
  c.strokeStyle = '#1c2733'
  c.lineWidth = 1.2 * ratio
  for (const i of outliers) if (!hidden.has(data.class[i])) {
    c.beginPath()
    c.arc(screenX(i) * ratio, screenY(i) * ratio, (r + 4) * ratio, 0, 7)
    c.stroke()
  }
  if (isPictures) drawPictures(c)
  mark()
}

function drawPictures(c) {
  const size = Math.min(80, 26 * Math.sqrt(zoom)) * ratio
  for (const i in thumbnails) {
    const x = screenX(i) * ratio, y = screenY(i) * ratio
    if (hidden.has(data.class[i]) || !thumbnails[i].complete || !thumbnails[i].naturalWidth) continue
    c.drawImage(thumbnails[i], x - size / 2, y - size / 2, size, size)
    c.strokeStyle = data.class[i] < styled ? colours[data.class[i] % colours.length] : '#9aa7b4'
    c.lineWidth = 2 * ratio
    c.strokeRect(x - size / 2, y - size / 2, size, size)
  }
}

function mark() {
  const c = marks.getContext('2d'), r = radius() + 3
  c.clearRect(0, 0, marks.width, marks.height)
  if (at < 0) return
  c.save()
  c.scale(ratio, ratio)
  c.strokeStyle = '#1c2733aa'
  for (const other of data.near[at]) {
    c.beginPath()
    c.moveTo(screenX(at), screenY(at))
    c.lineTo(screenX(other), screenY(other))
    c.stroke()
  }
  c.lineWidth = 2.5
  c.strokeStyle = '#000'
  c.fillStyle = '#fff'
  c.beginPath()
  c.arc(screenX(at), screenY(at), r + 1, 0, 7)
  c.fill()
  c.stroke()
  c.restore()
  const drawn = sprite(data.class[at], r - 1)
  c.drawImage(drawn, screenX(at) * ratio - drawn.width / 2, screenY(at) * ratio - drawn.height / 2)
}

// ---- the image that is pointed at

const label = i => data.classes.length ? (data.classes[data.class[i]] || 'no folder') : ''
const near = (i, most) => data.near[i].slice(0, most).map((other, rank) => [other, data.scores[i][rank].toFixed(3)])

function picture(i) {
  const made = make('img')
  made.alt = ''
  made.src = data.pictures[i]
  return made
}

function point(i) {
  if (i === at) return
  at = i
  mark()
  tip.hidden = i < 0
  if (i < 0) return
  const parts = [make('b', data.names[i])], list = make('ol')
  if (data.pictures[i]) parts.unshift(picture(i))
  if (label(i)) parts.push(make('div', label(i)))
  for (const [other, score] of near(i, 5)) list.append(make('li', data.names[other] + ', ' + score))
  tip.replaceChildren(...parts, list)
  const x = screenX(i), y = screenY(i), box = tip.getBoundingClientRect()
  tip.style.left = Math.max(4, x + box.width + 20 > width ? x - box.width - 16 : x + 16) + 'px'
  tip.style.top = Math.max(4, Math.min(height - box.height - 4, y - 20)) + 'px'
}

function say(i) {
  $('said').textContent = data.names[i] + (label(i) ? ', ' + label(i) : '') + '. Nearest: ' +
    near(i, 3).map(([other, score]) => data.names[other] + ' ' + score).join(', ')
}

function open(i) {
  const list = make('ol'), parts = data.pictures[i] ? [picture(i)] : []
  parts.push(make('h3', data.names[i]))
  if (label(i)) parts.push(make('p', 'class ' + label(i)))
  if (outliers.has(i)) parts.push(make('p', 'an outlier'))
  if (!data.pictures[i]) parts.push(make('p', 'This page holds no picture of it.'))
  for (const [other, score] of near(i)) {
    const item = make('li'), button = make('button', data.names[other])
    button.onclick = () => { point(other); open(other) }
    item.append(button, ' ' + score)
    list.append(item)
  }
  parts.push(make('p', 'Nearest images:'), list)
  $('opened').replaceChildren(...parts)
  if (!$('large').open) $('large').showModal()
  $('large').scrollTop = 0
}

// ---- mouse, fingers and keys

function place(event) {
  const box = points.getBoundingClientRect()
  return [event.clientX - box.left, event.clientY - box.top]
}

points.onpointerdown = event => {
  const [x, y] = place(event)
  drag = {x, y, left, top_, isMoved: false}
  points.setPointerCapture(event.pointerId)
}
points.onpointermove = event => {
  const [x, y] = place(event)
  if (!drag) return point(nearest(x, y, 14))
  if (!drag.isMoved && Math.hypot(x - drag.x, y - drag.y) < 5) return
  drag.isMoved = true
  point(-1)
  left = drag.left - (x - drag.x) / scaleX()
  top_ = drag.top_ - (y - drag.y) / scaleY()
  bound()
  requestDraw()
}
points.onpointerup = event => {
  const wasMoved = drag?.isMoved
  drag = null
  if (wasMoved) return
  const found = nearest(...place(event), 18)
  point(found)
  if (found >= 0) open(found)
}
points.onpointercancel = () => { drag = null }
points.onpointerleave = () => { if (!drag) point(-1) }
points.addEventListener('wheel', event => {
  if (!event.ctrlKey && document.activeElement !== points) return
  event.preventDefault()
  zoomTo(zoom * Math.exp(-event.deltaY / 300), ...place(event))
}, {passive: false})

function step(dx, dy) {
  if (at < 0) return nearestTo(width / 2, height / 2)
  let best = -1, least = Infinity
  for (let i = 0; i < count; i++) {
    const x = screenX(i) - screenX(at), y = screenY(i) - screenY(at)
    const along = x * dx + y * dy, across = Math.abs(x * dy - y * dx)
    if (i === at || along <= 0 || across > along || hidden.has(data.class[i])) continue
    if (along + 2 * across < least) { best = i; least = along + 2 * across }
  }
  return best < 0 ? at : best
}

function nearestTo(x, y) {
  let best = -1
  for (let reach = 20; best < 0 && reach < 4 * (width + height); reach *= 2) best = nearest(x, y, reach)
  return best
}

const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}
points.onkeydown = event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return
  if (arrows[event.key]) {
    const next = step(...arrows[event.key])
    if (next >= 0) { show(next); point(next); say(next) }
  } else if (event.key === 'Enter' && at >= 0) open(at)
  else if (event.key === '+' || event.key === '=') zoomMiddle(1.5)
  else if (event.key === '-') zoomMiddle(1 / 1.5)
  else return
  event.preventDefault()
}

function show(i) {
  const x = screenX(i), y = screenY(i)
  if (x >= 0 && y >= 0 && x <= width && y <= height) return
  left += (x - width / 2) / scaleX()
  top_ += (y - height / 2) / scaleY()
  bound()
  draw()
}

function zoomMiddle(times) {
  const middle = at < 0 ? [width / 2, height / 2] : [screenX(at), screenY(at)]
  tip.hidden = true
  zoomTo(zoom * times, ...middle)
}

$('closer').onclick = () => zoomMiddle(1.5)
$('further').onclick = () => zoomMiddle(1 / 1.5)
$('whole').onclick = () => { zoom = 1; left = top_ = 0; draw() }
$('close').onclick = () => $('large').close()
$('large').onclick = event => { if (event.target === $('large')) $('large').close() }
$('pictures').hidden = !Object.keys(data.pictures).length
$('pictures').onclick = () => {
  isPictures = !isPictures
  $('pictures').setAttribute('aria-pressed', isPictures)
  for (const i in isPictures ? data.pictures : {}) if (!thumbnails[i]) {
    thumbnails[i] = new Image()
    thumbnails[i].onload = requestDraw
    thumbnails[i].src = data.pictures[i]
  }
  draw()
}

// ---- classes

function legend() {
  const counts = new Array(data.classes.length).fill(0)
  for (const number of data.class) counts[number]++
  data.classes.forEach((name, number) => {
    const button = make('button'), drawn = sprite(number, 5)
    drawn.style.width = drawn.width / ratio + 'px'
    button.append(drawn, make('span', (name || 'no folder') + ' (' + counts[number] + ')'))
    button.title = name
    button.setAttribute('aria-pressed', true)
    button.onclick = () => {
      const isShown = hidden.delete(number)
      if (!isShown) hidden.add(number)
      button.setAttribute('aria-pressed', isShown)
      point(-1)
      draw()
    }
    $('legend').append(button)
  })
  if (data.classes.length > styled) $('legend').append(make('p',
    'The classes after the first ' + styled + ' are grey. Click a class to hide it.'))
  else if (data.classes.length) $('legend').append(make('p', 'Click a class to hide it.'))
}

// Points of all classes lie on top of each other in the same mixed order, so that none covers the others.
const order = Uint32Array.from({length: count}, (_, i) => i)
for (let i = count - 1, seed = 1; i > 0; i--) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
  const other = Math.floor(seed / 4294967296 * (i + 1)), kept = order[i]
  order[i] = order[other]
  order[other] = kept
}

let isAsked = false
function requestDraw() {
  if (isAsked) return
  isAsked = true
  requestAnimationFrame(() => { isAsked = false; draw() })
}

function resize() {
  ratio = devicePixelRatio || 1
  width = points.clientWidth
  height = points.clientHeight
  for (const canvas of [points, marks]) { canvas.width = width * ratio; canvas.height = height * ratio }
  draw()
}
onresize = () => { tip.hidden = true; resize() }
resize()
legend()
$('map').dataset.drawn = Math.round(performance.now())
}
"""
