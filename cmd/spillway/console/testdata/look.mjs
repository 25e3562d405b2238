// Opens the operator's page as its readers do, and writes what it finds as lines of JSON. The argument is a JSON object: looks
// are [name, url, reader], and live is the address of a page with switches to use, if it is to be used.
import { launch, look, readers } from '../../../../integration/testutil/browser/browser.mjs'

const { looks = [], live } = JSON.parse(process.argv[2])
const browser = await launch()
try {
  for (const [name, url, reader] of looks) console.log(JSON.stringify(await look(browser, url, name, reader)))
  if (live) console.log(JSON.stringify({ ...await useIt(live), ...await foreign(live), crowd: await crowd(live) }))
} finally {
  await browser.close()
}

// useIt uses the page with the keyboard, and looks whether it changes by itself.
async function useIt(url) {
  const page = await browser.newPage({ ...readers.desktop, timezoneId: 'Asia/Kolkata' })
  const said = []
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  await page.goto(url)
  const local = await page.locator('.asof time').innerText()
  await page.keyboard.press('Tab')
  const first = await page.evaluate(() => document.activeElement.textContent)
  await page.keyboard.press('Enter')
  const main = await page.evaluate(() => document.activeElement.id)
  await page.getByText('live', { exact: true }).waitFor()
  // What the reader has opened, and where the focus is, survive an update.
  await page.locator('[data-part=live] summary').first().click()
  // An update brings new drawings. Their numbers may stay as they are when nothing happens.
  await page.evaluate(() => { document.querySelector('[data-part=live] svg').dataset.old = 'yes' })
  await page.waitForFunction(() => !document.querySelector('[data-part=live] [data-old]'))
  const open = await page.locator('[data-part=live] details').first().evaluate((d) => d.open)
  const focused = await page.evaluate(() => document.activeElement.localName)
  // A switch, by the keyboard.
  await page.getByRole('button', { name: '503' }).focus()
  await page.keyboard.press('Enter')
  const notice = await page.locator('.notice').innerText()
  const pressed = await page.locator('button[aria-pressed=true]').innerText()
  await page.getByRole('link', { name: '3 hours' }).click()
  const span = await page.locator('[data-part=charts] [aria-current]').innerText()
  await page.close()

  const plain = await browser.newPage(readers.plain)
  await plain.goto(url)
  const refresh = await plain.locator('meta[http-equiv=refresh]').getAttribute('content')
  await plain.getByRole('button', { name: 'Send 1,000 events' }).click()
  const sent = await plain.locator('.notice').innerText()
  await plain.close()
  return { local, first, main, open, focused, notice, pressed, span, refresh, sent, said }
}

// crowd opens more pages than a browser opens connections to a server, and says if the last one is live.
async function crowd(url) {
  const context = await browser.newContext()
  let page
  for (let i = 0; i < 8; i++) {
    await page?.evaluate(() => { // what a browser does to a page when another one is before it
      Object.defineProperty(document, 'hidden', { get: () => true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    page = await context.newPage()
    page.setDefaultTimeout(5_000)
    try {
      await page.goto(url)
      await page.getByText('live', { exact: true }).waitFor()
    } catch (error) {
      return `page ${i + 1}: ${error.message}`
    }
  }
  await context.close()
  return 'live'
}

// foreign is what a page of another site gets that knows the address.
async function foreign(url) {
  const context = await browser.newContext()
  let page = await context.newPage()
  await context.route('http://evil.test/**', (route) => route.fulfill({ contentType: 'text/html', body: '<!DOCTYPE html><title>evil</title><body></body>' }))
  await page.goto('http://evil.test/')
  const got = await page.evaluate(async (url) => {
    const all = {}
    const attempt = async (name, what) => { try { all[name] = await what() } catch (error) { all[name] = 'refused' } }
    await attempt('read', async () => (await fetch(url)).text())
    await attempt('stream', () => new Promise((resolve, reject) => {
      const source = new EventSource(new URL('events', url))
      source.addEventListener('part', () => resolve('a part'))
      source.onerror = () => { source.close(); reject(new Error()) }
    }))
    await attempt('image', () => new Promise((resolve, reject) => {
      const image = new Image()
      image.onload = () => resolve('an image')
      image.onerror = reject
      image.src = new URL('assets/icon.svg', url)
    }))
    const body = new URLSearchParams({ mode: 'hanging', token: 'x' })
    await attempt('post', async () => (await fetch(new URL('segment', url), { method: 'POST', body, mode: 'no-cors' })).type)
    return all
  }, url)
  // A form of the other site, and the page in a frame of it.
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith('/segment')),
    page.evaluate((url) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action: new URL('segment', url) })
      form.append(Object.assign(document.createElement('input'), { name: 'mode', value: 'hanging' }))
      document.body.append(form)
      form.submit()
    }, url),
  ])
  got.form = answer.status()
  page = await context.newPage()
  await page.goto('http://evil.test/')
  await page.evaluate((url) => {
    document.body.append(Object.assign(document.createElement('iframe'), { src: url }))
  }, url)
  await page.waitForTimeout(300)
  got.frame = await page.frames().at(-1).evaluate(() => document.body?.innerText ?? '').catch(() => '')
  await context.close()
  return { foreign: got }
}
