// Opens sites in Chromium as customers do, and writes what it finds as one line of JSON for each: what the console says, what is
// asked for elsewhere, what axe-core finds, how wide the page is, and what a customer reads. With SHOTS=DIR it takes a picture of each there.
// The sites are folders; each is served as http://status.test/, at the time of NOW.
//
//   CHROMIUM=/usr/bin/chromium MODULES=…/integration/sdks/ NOW=2026-11-27T14:12:20Z READERS=desktop,dark node look.mjs folder…
import { createRequire } from 'node:module'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const types = { '.html': 'text/html; charset=utf-8', '.json': 'application/json', '.svg': 'image/svg+xml', '.atom': 'application/atom+xml' }

const phone = { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }
const desktop = { viewport: { width: 1100, height: 900 } }
const readers = {
  desktop, dark: { ...desktop, colorScheme: 'dark' }, phone, 'dark phone': { ...phone, colorScheme: 'dark' },
  stale: { ...desktop, late: 4 * 60 }, 'stale dark phone': { ...phone, colorScheme: 'dark', late: 4 * 60 },
  renewed: { ...desktop, late: 4 * 60, renew: true, axe: false }, // the page is open and the site has gone on
  plain: { ...desktop, javaScriptEnabled: false, axe: false }, abroad: { ...desktop, timezoneId: 'America/New_York', axe: false },
  twice: { viewport: { width: 550, height: 450 } }, // as at 200 % zoom
  month: { ...desktop, path: 'history/2026-11.html' }, 'month phone': { ...phone, path: 'history/2026-11.html', axe: false },
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
try {
  for (const dir of process.argv.slice(2)) {
    for (const reader of process.env.READERS.split(',')) console.log(JSON.stringify(await look(dir, reader)))
  }
} finally {
  await browser.close()
}

async function look(dir, reader) {
  const { late = 0, renew, path: first = 'index.html', axe: judged = true, ...options } = readers[reader]
  if (!existsSync(path.join(dir, first))) return { site: path.basename(dir), reader } // a site without that month
  const context = await browser.newContext({ timezoneId: 'UTC', ...options })
  const page = await context.newPage()
  const found = { site: path.basename(dir), reader, screen: options.viewport.width, console: [], requests: [] }
  page.on('console', (message) => found.console.push(message.text()))
  page.on('pageerror', (error) => found.console.push(String(error)))
  let ahead = 0 // seconds by which the served page is newer
  await page.route('**/*', (route) => {
    const url = new URL(route.request().url())
    const file = path.join(dir, url.pathname === '/' ? 'index.html' : url.pathname)
    if (url.protocol !== 'data:' && (url.host !== 'status.test' || !existsSync(file))) found.requests.push(url.href)
    if (!existsSync(file)) return route.fulfill({ status: 404, body: '' })
    let body = readFileSync(file)
    if (ahead) body = body.toString().replace(/data-at="([^"]+)"/, (_, at) => `data-at="${new Date(Date.parse(at) + ahead * 1000).toISOString()}"`)
    return route.fulfill({ body, contentType: types[path.extname(file)] })
  })
  if (options.javaScriptEnabled !== false) await page.clock.install({ time: new Date(process.env.NOW) })
  await page.goto('http://status.test/' + first)
  if (late) {
    if (renew) ahead = late
    await page.clock.runFor(late * 1000)
    await page.waitForTimeout(200)
    await page.clock.runFor(6000)
  }
  Object.assign(found, await page.evaluate(() => ({
    width: document.documentElement.scrollWidth, background: getComputedStyle(document.body).backgroundColor, text: document.body.innerText,
    late: (document.getElementById('late') ?? document.createElement('p')).checkVisibility(), title: document.title,
  })))
  if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, `${found.site}-${reader.replaceAll(' ', '-')}.png`), fullPage: true })
  if (judged) {
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
    found.violations = violations.map((v) => `${v.id}: ${v.help} (${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(', ')})`)
  }
  await context.close()
  return found
}
