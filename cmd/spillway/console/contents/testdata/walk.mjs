// Walks the pages of dead letters in Chromium as an operator does, from the list to a deletion, and writes what it finds on
// each as a line of JSON: its text, how wide it is, what it says on the console, what it asks for from elsewhere, and what
// axe-core finds. READER is who walks. With SHOTS=DIR it takes pictures there.
//
//   CHROMIUM=/usr/bin/chromium MODULES=…/integration/sdks/ BASE=http://127.0.0.1:PORT READER=desktop node walk.mjs
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import path from 'node:path'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

const readers = {
  desktop: { viewport: { width: 1280, height: 900 } },
  'dark phone': { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true, colorScheme: 'dark', deviceScaleFactor: 2 },
  'without script': { viewport: { width: 1280, height: 900 }, javaScriptEnabled: false },
  zoomed: { viewport: { width: 640, height: 450 }, colorScheme: 'dark' }, // 1280 at 200 %
}
const reader = process.env.READER
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const base = process.env.BASE
try {
  const context = await browser.newContext({ ...readers[reader], acceptDownloads: true })
  const page = await context.newPage()
  let console_ = [], elsewhere = []
  page.on('console', (message) => console_.push(message.text()))
  page.on('pageerror', (error) => console_.push(String(error)))
  page.on('request', (request) => { if (!request.url().startsWith(base)) elsewhere.push(request.url()) })

  let n = 0
  const look = async (name, more = {}) => {
    const found = { page: name, reader, ...more, console: console_, elsewhere, screen: readers[reader].viewport.width,
      text: (await page.locator('main').innerText()).replace(/\s+/g, ' '), width: await page.evaluate('document.documentElement.scrollWidth') }
    console_ = []
    elsewhere = []
    if (process.env.SHOTS) await page.screenshot({ path: path.join(process.env.SHOTS, `${String(++n).padStart(2, '0')}-${name}-${reader}.png`.replaceAll(' ', '-')), fullPage: true })
    if (reader !== 'without script' && name !== 'begun') { // that one is refreshed
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
      found.violations = violations.map((v) => `${v.id}: ${v.help} (${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(', ')})`)
    }
    console.log(JSON.stringify(found))
  }
  const press = (name) => Promise.all([page.waitForNavigation(), page.getByRole('button', { name }).click()])
  const follow = (name) => Promise.all([page.waitForNavigation(), page.getByRole('link', { name }).first().click()])
  const ended = async () => {
    while (await page.getByText(/^(running|stopping)$/).count()) {
      await page.waitForTimeout(100)
      await page.goto(base + '/dead-letters')
    }
  }
  const save = async () => {
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export' }).click()
    return { file: (await download).suggestedFilename(), exported: readFileSync(await (await download).path(), 'utf8') }
  }

  await page.goto(base + '/dead-letters')
  await look('list')
  await follow('Older ones')
  await look('older')
  await page.goto(base + '/dead-letters')
  await page.locator('summary').click()
  await page.getByLabel('rejected').check()
  await page.getByLabel('userId', { exact: true }).fill('u-1')
  await press('Filter')
  await look('filtered')
  await follow('id/9') // the newest of u-1
  await look('one')
  await press('Show the payload')
  await look('payload', await save())
  await page.goto(base + '/find?q=m-9')
  await look('find')
  await page.goto(base + '/find?q=nobody')
  await look('not found')
  await page.goto(base + '/dead-letters/redrive')
  await look('redrive')
  await page.getByLabel('Events per second').fill('100000')
  await press(/^Redrive/)
  await look('begun')
  await ended()
  await look('redriven')
  await page.goto(base + '/dead-letters/drop')
  await look('drop')
  await page.getByLabel('to confirm').fill('1')
  await press(/^Drop/)
  await look('wrong number')
  await page.getByLabel('to confirm').fill(await page.locator('input[name=count]').inputValue())
  await press(/^Drop/)
  await ended()
  await look('deleted')
} finally {
  await browser.close()
}
