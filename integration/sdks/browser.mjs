// Opens a page in Chromium and writes what the page reports to stdout, one line of JSON each, until stdin ends. A line on stdin
// is the name of an event that the page then tracks.
//
// The page gets what it loads from Segment's CDN at the address CDN. Requests are not intercepted here: playwright would answer
// CORS preflights itself.
//
//   CHROMIUM=/usr/bin/chromium CDN=127.0.0.1:1235 node browser.mjs 'http://127.0.0.1:1234/page.html?…'
import { chromium } from 'playwright-core'
import readline from 'node:readline'

const say = (report) => console.log(JSON.stringify(report))
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
    `--host-resolver-rules=MAP cdn.segment.com ${process.env.CDN}`, '--ignore-certificate-errors',
  ],
})
try {
  const page = await browser.newPage()
  page.on('console', (message) => {
    if (message.type() === 'error') say({ kind: 'console', message: message.text() })
  })
  page.on('pageerror', (error) => say({ kind: 'failed', message: String(error) }))
  await page.exposeFunction('report', say)
  await page.goto(process.argv[2], { timeout: 0 }) // the test has a limit of its own
  for await (const name of readline.createInterface({ input: process.stdin })) {
    await page.evaluate((n) => window.track(n), name)
  }
} finally {
  await browser.close()
}
