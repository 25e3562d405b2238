// Opens pages in Chromium as their readers do. CHROMIUM is the browser, MODULES the folder with node_modules; with SHOTS=DIR
// a picture of each page is taken there.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import path from 'node:path'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

const desktop = { viewport: { width: 1280, height: 900 } }
const phone = { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }

export const readers = {
  desktop,
  dark: { ...desktop, colorScheme: 'dark' },
  phone,
  'dark phone': { ...phone, deviceScaleFactor: 1, colorScheme: 'dark' },
  print: { viewport: { width: 718, height: 1000 } }, // A4 without its margins
  twice: { viewport: { width: 640, height: 450 } }, // a desktop at 200 % zoom
  plain: { ...desktop, javaScriptEnabled: false },
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

// look opens a page as a reader and returns what is asked of every page. use is called when the page is there.
export async function look(browser, url, name, reader, { judge = true, use } = {}) {
  const context = await browser.newContext({ timezoneId: 'UTC', ...readers[reader] })
  const page = await context.newPage()
  const found = { page: name, reader, screen: readers[reader].viewport.width, console: [], requests: [], violations: [] }
  const origin = new URL(url).origin
  page.on('console', (message) => found.console.push(message.text()))
  page.on('pageerror', (error) => found.console.push(String(error)))
  page.on('request', (request) => {
    const asked = request.url()
    if (asked !== url && !(origin !== 'null' && asked.startsWith(origin + '/'))) found.requests.push(asked)
  })
  if (reader === 'print') await page.emulateMedia({ media: 'print' })
  await page.goto(url)
  if (use) Object.assign(found, await use(page))
  if (readers[reader].javaScriptEnabled !== false) {
    Object.assign(found, await page.evaluate(() => ({
      width: document.documentElement.scrollWidth, background: getComputedStyle(document.body).backgroundColor,
      smallest: Math.min(...[...document.querySelectorAll('svg text')].map((e) => parseFloat(getComputedStyle(e).fontSize)), 100),
    })))
    if (judge) found.violations = await violations(page)
  }
  if (process.env.SHOTS) {
    await page.screenshot({ path: path.join(process.env.SHOTS, `${name}-${reader}.png`.replaceAll(/[ /?=&]+/g, '-')), fullPage: true })
  }
  await context.close()
  return found
}

// violations are what axe-core finds. It is evaluated by the browser's own tools, so that the page's policy, which allows no
// script but the page's, stays as it is.
async function violations(page) {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return violations.map((v) => `${v.id}: ${v.help} (${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(', ')})`)
}
