package compat

import (
	"fmt"
	"strings"
	"testing"
)

// The events of a sample. All have a messageId and a timestamp, so that each version delivers the
// same bytes.
const (
	track    = `{"type":"track","userId":"u1","event":"E","messageId":%q,"timestamp":"2026-01-02T03:04:05.000Z"}`
	identify = `{"type":"identify","anonymousId":"a1","traits":{"email":"a@example.com","n":9007199254740993,"f":1.50},` +
		`"messageId":%q,"timestamp":"2026-01-02T03:04:05.000Z","unknown":{"kept":[null,true,"é😀\u0000"]}}`
	others = `{"type":"page","userId":"u1","name":"Home","messageId":"%[1]s-page","timestamp":"2026-01-02T03:04:05Z"},` +
		`{"type":"screen","userId":"u1","name":"Home","messageId":"%[1]s-screen","timestamp":"2026-01-02T03:04:05Z"},` +
		`{"type":"group","userId":"u1","groupId":"g1","messageId":"%[1]s-group","timestamp":"2026-01-02T03:04:05Z"},` +
		`{"type":"alias","userId":"u1","previousId":"a1","messageId":"%[1]s-alias","timestamp":"2026-01-02T03:04:05Z"}`

	rejectedID = "rejected-1" // Segment answers 400 to it
	// goodEvents arrive, and badMessages become a dead letter each.
	goodEvents  = 2 + 6 + 1 + 60 + 2 + 5 + 2 // by ingest, in its batch, of a browser; sent; of the API; by hand
	badMessages = 4
)

// sendEverything sends events by each writer and in each form, and some that no version can
// deliver.
func sendEverything(t testing.TB, v version, p *pipeline) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(post(ctx, p.ingestURL+"/v1/track", "shop", fmt.Sprintf(track, "ingest-track")))
	must(post(ctx, p.ingestURL+"/v1/identify", "shop", fmt.Sprintf(identify, "ingest-identify")))
	must(post(ctx, p.ingestURL+"/v1/batch", "shop",
		`{"context":{"app":{"name":"shop"}},"integrations":{"All":true},"batch":[`+
			fmt.Sprintf(track, "batch-track")+","+fmt.Sprintf(identify, "batch-identify")+","+fmt.Sprintf(others, "batch")+`]}`))
	must(post(ctx, p.ingestURL+"/v1/t", "", fmt.Sprintf(`{"writeKey":"web",%s`, fmt.Sprintf(track, "browser")[1:]),
		"Origin", "https://shop.example", "Content-Type", "text/plain", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"))

	var lines []string
	for i := range 60 {
		lines = append(lines, fmt.Sprintf(track, fmt.Sprint("sent-", i)))
	}
	v.mustRun(t, strings.Join(lines, "\n"), "send", "--queue-url="+p.queueURL, "--write-key=sent")
	v.mustRun(t, fmt.Sprintf(track, "sent-single")+"\n"+fmt.Sprintf(identify, "sent-identify"), "send", "--single",
		"--queue-url="+p.queueURL)

	url, api := v.api(t, p.queueURL, t.TempDir())
	for i := range 5 {
		must(post(ctx, fmt.Sprintf("%s/runs?id=api-%d", url, i), "", "a note"))
	}
	must(api.Stop(t))

	send(t, p.events, p.queueURL,
		storedMessage{Body: fmt.Sprintf(track, "by-hand")},
		storedMessage{Body: `{"writeKey":"hand","origin":"client","receivedAt":"2026-01-02T03:04:06Z","batch":[` +
			fmt.Sprintf(track, "by-hand-batch") + `]}`, Attributes: map[string]attribute{"Event-Count": {"Number", "1"}}},
		storedMessage{Body: fmt.Sprintf(track, rejectedID)},
		storedMessage{Body: `{"batch":[`},
		storedMessage{Body: fmt.Sprintf(`{"type":"track","userId":"u1","event":"E","messageId":"too-large","p":%q}`,
			strings.Repeat("x", 40<<10))},
		storedMessage{Body: `{"type":"track","event":"nobody's","messageId":"invalid-1","timestamp":"2026-01-02T03:04:05Z"}`})
}
