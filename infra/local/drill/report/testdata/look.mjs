// Opens the pages in the files, and writes what it finds as one line of JSON for each. A page whose name begins with "long"
// is only measured. READERS are those who look, separated by commas.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { launch, look } from '../../../../../integration/testutil/browser/browser.mjs'

const browser = await launch()
try {
  for (const file of process.argv.slice(2)) {
    const name = path.basename(file, '.html')
    for (const reader of process.env.READERS.split(',')) {
      console.log(JSON.stringify(await look(browser, pathToFileURL(file).href, name, reader, { judge: !name.startsWith('long') })))
    }
  }
} finally {
  await browser.close()
}
