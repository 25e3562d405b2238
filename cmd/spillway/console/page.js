// The page works without this script: it then loads itself again from time to time. With it, the
// parts that change are replaced as they change, and times are shown in the reader's own zone.
'use strict'

// The server shows times in UTC and in the zone of its machine. The reader's may be another one.
const zone = (at) => new Intl.DateTimeFormat([], { timeZoneName: 'short' }).formatToParts(at).find((p) => p.type === 'timeZoneName')?.value ?? ''

function localTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime)
    const local = time.querySelector('.local')
    if (!local || Number.isNaN(at.getTime())) continue
    const clock = at.toLocaleTimeString('en-GB')
    if (local.textContent.includes(clock)) continue // the machine's zone is the reader's
    const today = at.toDateString() === new Date().toDateString()
    const day = today ? '' : at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) + ' '
    local.textContent = at.getTimezoneOffset() === 0 ? '' : `${day}${clock} ${zone(at)}`
  }
  let same = true
  for (const label of root.querySelectorAll('text[data-time]')) {
    const clock = new Date(label.dataset.time).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
    if (!label.textContent.includes(':') && clock === '00:00' || label.textContent === clock) continue
    label.textContent = clock
    same = false
  }
  if (!same) for (const name of root.querySelectorAll('text[data-zone]')) name.textContent = zone(new Date())
}

// replace puts new HTML of our own server into a part. What the reader has opened stays open, and
// the focus stays where it is.
function replace(part, html) {
  if (part.dataset.html === html) return
  part.dataset.html = html
  if (part.contains(document.activeElement) && document.activeElement.matches('input, select, textarea')) return
  const open = [...part.querySelectorAll('details')].map((d) => d.open)
  const focusable = 'a[href], button, summary'
  const focused = [...part.querySelectorAll(focusable)].indexOf(document.activeElement)
  const fresh = document.createRange().createContextualFragment(html)
  localTimes(fresh)
  part.replaceChildren(fresh)
  part.querySelectorAll('details').forEach((d, i) => { d.open = open[i] ?? false })
  if (focused >= 0) part.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true })
}

function follow(address, every) {
  const says = document.getElementById('following')
  let source, reload
  const listen = () => {
    source = new EventSource(address)
    source.onopen = () => {
      clearTimeout(reload)
      reload = undefined
      if (says) says.textContent = 'live'
    }
    source.addEventListener('part', (event) => {
      const { id, html } = JSON.parse(event.data)
      const part = document.querySelector(`[data-part="${id}"]`)
      if (part) replace(part, html)
    })
    // A stream that was refused is closed for good; one that was interrupted connects again by itself.
    source.onerror = () => {
      if (says) says.textContent = `not live at the moment, refreshed every ${every} s`
      reload ??= setTimeout(() => location.reload(), every * 1000)
    }
  }
  // A browser opens six connections to a server at most: a page that nobody sees leaves its own to others.
  const look = () => {
    source?.close()
    clearTimeout(reload)
    reload = undefined
    if (!document.hidden) listen()
  }
  document.addEventListener('visibilitychange', look)
  look()
}

localTimes(document)
// A notice is of the moment: it goes, and a reload does not bring it back.
const notice = document.querySelector('.notice.good')
if (notice) {
  const here = new URL(location.href)
  here.searchParams.delete('said')
  history.replaceState(null, '', here)
  setTimeout(() => notice.remove(), 15_000)
}
const { events, refresh } = document.body.dataset
if (events) follow(events, Number(refresh) || 30)
// A form that is sent twice would do twice what it does.
document.addEventListener('submit', (event) => {
  if (event.target.dataset.sent) event.preventDefault()
  event.target.dataset.sent = 'yes'
})
// A page that comes back from the browser's history may be sent again.
addEventListener('pageshow', () => document.querySelectorAll('form').forEach((form) => delete form.dataset.sent))
