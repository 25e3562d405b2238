// Opens pages in Chromium as readers do, and writes what it finds as one line of JSON for each: how wide it is, what it says
// on the console, what it asks for, and what axe-core finds. With SHOTS=DIR it takes a picture of each there.
// A page whose name begins with "long" is only measured. READERS are those who look, separated by commas; all if it is empty.
//
//   CHROMIUM=/usr/bin/chromium MODULES=…/integration/sdks/ node look.mjs page.html…
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

const readers = {
  desktop: { viewport: { width: 1280, height: 900 } },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
  'dark phone': { viewport: { width: 360, height: 780 }, isMobile: true, colorScheme: 'dark' },
  print: { viewport: { width: 718, height: 1000 } }, // A4 without its margins
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
try {
  for (const file of process.argv.slice(2)) {
    for (const [reader, options] of Object.entries(readers)) {
      if (process.env.READERS && !process.env.READERS.split(',').includes(reader)) continue
      const page = await browser.newPage(options)
      const found = { page: path.basename(file, '.html'), reader, screen: options.viewport.width, console: [], requests: [] }
      page.on('console', (message) => found.console.push(message.text()))
      page.on('pageerror', (error) => found.console.push(String(error)))
      page.on('request', (request) => found.requests.push(request.url()))
      if (reader === 'print') await page.emulateMedia({ media: 'print' })
      const url = pathToFileURL(file).href
      await page.goto(url)
      found.requests = found.requests.filter((asked) => asked !== url)
      Object.assign(found, await page.evaluate(() => ({
        width: document.documentElement.scrollWidth, background: getComputedStyle(document.body).backgroundColor,
        smallest: Math.min(...[...document.querySelectorAll('svg text')].map((e) => parseFloat(getComputedStyle(e).fontSize))),
      })))
      if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, `${found.page}-${reader.replace(' ', '-')}.png`), fullPage: true })
      if (!found.page.startsWith('long')) await look(page, found)
      console.log(JSON.stringify(found))
      await page.close()
    }
  }
} finally {
  await browser.close()
}

async function look(page, found) {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  found.violations = violations.map((v) => `${v.id}: ${v.help} (${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(', ')})`)
}
