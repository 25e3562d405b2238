// Says when the page is old by its own clock, shows times in the reader's zone too, and renews the page.
(() => {
  const root = document.documentElement, at = () => Date.parse(root.dataset.at)
  const late = () => {
    const old = Date.now() - at() > root.dataset.stale * 1000
    document.getElementById('late').hidden = !old
    root.classList.toggle('old', old)
  }
  const local = () => {
    for (const t of document.querySelectorAll('time[data-l]')) {
      const d = new Date(t.dateTime)
      if (!d.getTimezoneOffset() || t.title) continue
      t.title = d.toString()
      const day = d.getDate() === d.getUTCDate() ? {} : { day: 'numeric', month: 'short' }
      t.append(' (' + d.toLocaleString([], { ...day, hour: 'numeric', minute: '2-digit' }) + ' your time)')
    }
  }
  const renew = async () => {
    try {
      const answer = await fetch(location.href.split('#')[0], { cache: 'no-cache' })
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
      const next = page.documentElement.dataset, main = document.querySelector('main'), new_ = page.querySelector('main')
      if (answer.ok && new_ && next.at !== root.dataset.at && !(main.contains(document.activeElement) && main.querySelector('details[open]'))) {
        if (next.changes !== root.dataset.changes) document.getElementById('said').textContent = new_.querySelector('h2').textContent
        root.dataset.at = next.at
        root.dataset.changes = next.changes
        document.title = page.title
        main.replaceWith(new_)
        local()
      }
    } catch {} // the site can't be reached: the banner says so in time
    late()
  }
  late()
  local()
  if (root.dataset.live && location.protocol !== 'file:') setInterval(renew, 60000)
  setInterval(late, 5000)
})()
