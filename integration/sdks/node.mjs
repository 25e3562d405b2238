// Sends one event of each type with @segment/analytics-node, whose host option alone points at the ingest API, and writes to
// stdout what the SDK reports of each event, as one line of JSON: {"messageId", "type", "delivered"}.
//
//   HOST=http://localhost:8080 WRITE_KEY=local [MAX_RETRIES=10] [ONLY=track] node node.mjs
import { Analytics } from '@segment/analytics-node'

const { HOST, WRITE_KEY, MAX_RETRIES, ONLY } = process.env
const analytics = new Analytics({
  writeKey: WRITE_KEY,
  host: HOST,
  maxRetries: Number(MAX_RETRIES ?? 10),
})
analytics.on('error', ({ reason }) => console.error(String(reason)))

const calls = {
  identify: { userId: 'u-1', traits: { email: 'a@b.co', plan: 'pro', vip: false, age: null, since: new Date(0) } },
  track: {
    userId: 'u-1', event: 'Order Completed', timestamp: new Date(Date.now() - 3600_000),
    properties: { total: 1299.5, big: Number.MAX_SAFE_INTEGER, note: 'Grüezi 🎿 "quoted" \\ / \u2028', products: [{ sku: 'A', qty: 1 }, {}], empty: '' },
    context: { campaign: { name: 'spring', id: 'abc', custom: 'x' }, active: false },
    integrations: { All: true, Mixpanel: false, Amplitude: { session_id: 1732356001500 } },
  },
  page: { anonymousId: 'a-1', category: 'Docs', name: 'Intro', properties: { url: 'https://acme.example/docs?q=1&r=2#x' } },
  screen: { anonymousId: 'a-1', name: 'Cart', properties: { items: 2 } },
  group: { userId: 'u-1', groupId: 'g-1', traits: { name: 'Acme', employees: 120 } },
  alias: { userId: 'u-1', previousId: 'a-1' },
}
for (const [kind, fields] of Object.entries(calls)) {
  if (ONLY && kind !== ONLY) continue
  analytics[kind](fields, (err, ctx) => {
    console.log(JSON.stringify({ messageId: ctx.event.messageId, type: kind, delivered: !err && !ctx.failedDelivery() }))
  })
}
await analytics.closeAndFlush()
