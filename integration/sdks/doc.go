// Package sdks proves the ingest API with Segment's own SDKs, pointed at it in the way that their
// users do: analytics-go, analytics-node, and analytics-next in Chromium, in its standard and in
// its batching mode. Of the SDKs that can't run here there are requests written down in
// events/http, one each, which are sent as those SDKs send them.
//
// What an SDK sends is written down in front of the ingest API, and what arrives at the Segment
// stand-in is compared with it field by field: a field lost on the way, or an answer that an SDK
// misunderstands, is otherwise seen by nobody but the SDK's user, and by him only in a dashboard
// weeks later. That an answer causes just the retries and drops that we count on is proven in the
// same way, because it is written down in none of the SDKs' documents, and changes with their
// releases.
//
// The package holds tests only. Where Node, its packages or Chromium are not installed they are
// skipped, unless SPILLWAY_REQUIRE_SDKS=1 (CI sets it):
//
//	apt-get install nodejs npm chromium && npm ci --prefix integration/sdks   # Node.js 20 or later; CHROMIUM names another binary
package sdks
