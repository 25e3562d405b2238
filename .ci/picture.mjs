// Takes four pictures of a page, as .ci/pictures asks: of a wide screen and of a phone, light and dark.
//
//   CHROMIUM=/usr/bin/chromium MODULES=…/integration/sdks [NOW=2026-11-27T14:12:20Z] node picture.mjs URL PATH WIDTH HEIGHT
//
// PATH is without the ending, WIDTH and HEIGHT are those of the wide screen. With NOW the page believes that it is that time.
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { chromium } = require('playwright-core')
const [url, to, width, height] = process.argv.slice(2)
const wide = { viewport: { width: Number(width), height: Number(height) }, deviceScaleFactor: 1.5 } // sharp on a page 830 pixels wide
const phone = { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }
const screens = { '': wide, '-dark': { ...wide, colorScheme: 'dark' }, '-phone': phone, '-phone-dark': { ...phone, colorScheme: 'dark' } }

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars'] })
try {
  await Promise.all(Object.entries(screens).map(async ([name, screen]) => { // at the same time: they show the same moment
    const context = await browser.newContext({ timezoneId: 'UTC', ...screen })
    const page = await context.newPage()
    if (process.env.NOW) await page.clock.install({ time: new Date(process.env.NOW) })
    await page.goto(url)
    await page.screenshot({ path: `${to}${name}.png` })
  }))
} finally {
  await browser.close()
}
