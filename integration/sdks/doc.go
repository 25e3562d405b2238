// Package sdks tests the ingest API with Segment's own SDKs, configured as their users configure
// them: analytics-go; analytics-node in its three generations; and analytics-next in Chromium, of
// today and of 2023, from npm and by the snippet, in its standard and its batching mode, and behind
// Segment's consent tools. The forks that speak the same protocol are there too: Customer.io's and
// RudderStack's for Node, Hightouch's for the browser. For the SDKs that can't run here,
// events/http has one captured request each, which the tests send as the SDK does.
//
// The tests record what an SDK sends to the ingest API and compare it, field by field, with what
// the Segment emulator receives: otherwise only the SDK's user would notice a lost field or an
// answer that the SDK misunderstands, weeks later in a dashboard. They also check that each answer
// causes the retries and drops that the ingest API relies on, because no SDK documents them and a
// new release may change them.
//
// And they check what an SDK does when a region goes down: two pipelines stand behind one name that
// leads to them as Route 53 would, and one of them is killed in mid-load.
//
// The package holds tests only. A test is skipped where Node, its packages or Chromium are not
// installed, unless SPILLWAY_REQUIRE_SDKS=1 (CI sets it):
//
//	apt-get install nodejs npm chromium && npm ci --prefix integration/sdks   # Node.js 20 or later; CHROMIUM names another binary
package sdks
