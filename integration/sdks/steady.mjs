// Sends an event every few milliseconds with analytics-node, one of whose options points at the ingest API, until its stdin ends,
// and writes to stdout a line of JSON when it has made an event, {"messageId", "at"}, and when the SDK reports it,
// {"messageId", "delivered"}.
//
//   HOST=http://localhost:8080 WRITE_KEY=local EVERY_MS=10 node steady.mjs

import { Analytics } from '@segment/analytics-node'

const { HOST, WRITE_KEY, EVERY_MS } = process.env
const analytics = new Analytics({ writeKey: WRITE_KEY, host: HOST, flushAt: 10, flushInterval: 20 })
const line = (of) => console.log(JSON.stringify(of))
let n = 0
const timer = setInterval(() => {
  const messageId = `node-${n++}`
  line({ messageId, at: Date.now() })
  analytics.track({ messageId, userId: 'u-1', event: 'Run Started', properties: { n } }, (err, ctx) =>
    line({ messageId, delivered: !err && !ctx.failedDelivery?.() }))
}, Number(EVERY_MS))
process.stdin.resume().on('end', async () => {
  clearInterval(timer)
  await analytics.closeAndFlush()
})
