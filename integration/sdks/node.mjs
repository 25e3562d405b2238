// Sends one event of each type with an SDK for Node, one of whose options points at the ingest API, and writes to stdout what
// the SDK reports of each event, as one line of JSON: {"messageId", "type", "delivered"}. The messageId is missing where the SDK
// does not tell it.
//
//   HOST=http://localhost:8080 WRITE_KEY=local [SDK=@segment/analytics-node] [MAX_RETRIES=3] [ONLY=track] node node.mjs

const { HOST, WRITE_KEY, MAX_RETRIES, ONLY, SDK = '@segment/analytics-node' } = process.env
const module = await import(SDK)

// How each SDK is made, how it reports an event, and how it ends.
const modern = {
  make: () => {
    const sdk = new module.Analytics({ writeKey: WRITE_KEY, host: HOST, ...(MAX_RETRIES && { maxRetries: Number(MAX_RETRIES) }) })
    sdk.on('error', ({ reason }) => console.error(String(reason)))
    return sdk
  },
  report: (err, ctx) => ({ messageId: ctx.event.messageId, delivered: !err && !(ctx.failedDelivery?.()) }),
  end: (sdk) => sdk.closeAndFlush(),
}
// Without an errorHandler these end the process by a failed flush.
const errorHandler = (err) => console.error(String(err))
const classic = (make) => ({ make, report: (err) => ({ delivered: !err }), end: (sdk) => sdk.flush() })
const kinds = {
  '@segment/analytics-node': modern,
  'analytics-node-1': modern,
  '@customerio/cdp-analytics-node': modern,
  'analytics-node': classic(() => new module.default(WRITE_KEY, { host: HOST, errorHandler })),
  '@rudderstack/rudder-sdk-node': classic(() => new module.default(WRITE_KEY, { dataPlaneUrl: HOST, logLevel: 'error', errorHandler })),
}

const { make, report, end } = kinds[SDK]
const analytics = make()
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
for (const [type, fields] of Object.entries(calls)) {
  if (ONLY && type !== ONLY) continue
  analytics[type](fields, (err, ctx) => console.log(JSON.stringify({ type, ...report(err, ctx) })))
}
await end(analytics)
