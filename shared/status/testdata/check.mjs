// Reads sites as other programs do, and writes what they make of each as one line of JSON: what html-validate says of its pages,
// what a client of Atlassian's Statuspage reads from its API, and what a feed reader reads from its feed.
//
//   MODULES=…/integration/sdks/ node check.mjs folder…
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const require = createRequire(path.join(process.env.MODULES, 'package.json'))
const { HtmlValidate } = require('html-validate')
const { Statuspage } = require('statuspage.js')
const Parser = require('rss-parser')

const validator = new HtmlValidate({
  extends: ['html-validate:recommended', 'html-validate:document', 'html-validate:a11y'],
  rules: {
    'no-inline-style': 'error', 'long-title': 'off', // a title is the state and the site's name
    'void-style': 'off', 'no-trailing-whitespace': 'off', 'svg-focusable': 'off', // of taste, or of browsers that are gone
    'require-sri': 'off', 'no-raw-characters': ['error', { relaxed: true }],
  },
})

for (const dir of process.argv.slice(2)) {
  const server = createServer((request, answer) => {
    try {
      answer.end(readFileSync(path.join(dir, new URL(request.url, 'http://x').pathname)))
    } catch {
      answer.writeHead(404).end()
    }
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  const base = `http://127.0.0.1:${server.address().port}`
  const found = { site: path.basename(dir), html: [] }
  for (const name of readdirSync(dir, { recursive: true }).filter((n) => n.endsWith('.html'))) {
    const { results } = await validator.validateString(readFileSync(path.join(dir, name), 'utf8'))
    for (const r of results) found.html.push(...r.messages.map((m) => `${name}:${m.line}:${m.column}: ${m.ruleId}: ${m.message}`))
  }
  const client = new Statuspage('example')
  client.axios.defaults.baseURL = base + '/api/v2'
  found.summary = await client.summary()
  found.status = await client.status()
  found.components = await client.components()
  found.incidents = await client.allIncidents()
  found.unresolved = await client.unresolvedIncidents()
  found.maintenances = await client.allScheduledMaintenances()
  found.upcoming = await client.upcomingScheduledMaintenances()
  found.active = await client.activeScheduledMaintenances()
  found.dates = [found.summary.page.updated_at, found.components.components[0]?.created_at].every((d) => d === undefined || d === null || d instanceof Date)
  found.feed = await new Parser().parseURL(base + '/feed.atom')
  console.log(JSON.stringify(found))
  server.close()
}
