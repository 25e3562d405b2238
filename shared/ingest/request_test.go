package ingest

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestWhatAnsweredRequestsKeepIsBoundedWhateverTheyWere(t *testing.T) {
	r := newRig(t, nil)
	bodies := []string{
		`{"batch":[` + strings.Repeat("{},", 2000) + `{` + strings.Repeat(`"type":1,`, 50_000) + `"a":1}]}`,
		`{"batch":[` + strings.Repeat("{},", 400) + track("1") + `]}`,
		`{"batch":[` + track("1") + strings.Repeat(" ", 200_000) + `]}`,
		zipped(t, `{"batch":[`+track("1")+strings.Repeat(" ", 200_000)+`]}`),
		`{"batch":[` + strings.Repeat("{},", 100) + `{}],"batch":[` + track("1") + `]}`,
	}
	var under []*request // as many at a time
	for i := range 200 {
		q := r.pool.get()
		if body := bodies[i%len(bodies)]; q.content.parse([]byte(body), route{kind: routeBatch}) == nil {
			q.raw = append(q.raw, body...)
			q.enrichment = event.Enrichment{AppendID: appendID}
			q.partition()
		}
		under = append(under, q)
	}
	for _, q := range under {
		q.reset()
		r.pool.put(q)
	}
	held := 0
	for _, q := range r.pool.free {
		held += q.size()
		for _, e := range q.content.events[:cap(q.content.events)] {
			if e.Raw != nil || e.WriteKey != nil {
				t.Fatal("an event of an answered request is kept")
			}
		}
		for _, l := range q.parts {
			for _, e := range l.events[:cap(l.events)] {
				if e != nil {
					t.Fatal("an event in a buffer is kept")
				}
			}
		}
	}
	if held > maxPooled || held == 0 || len(r.pool.free) == len(under) {
		t.Errorf("%d requests with %d bytes are kept", len(r.pool.free), held)
	}
	for range len(r.pool.free) {
		r.pool.get()
	}
	want(t, "counted when none is left", r.pool.bytes, 0)
}

func TestTheLargestRequestHasRoom(t *testing.T) {
	if defaultMaxMemory < maxRequestMemory(defaultMaxBody) {
		t.Errorf("it may need %d bytes", maxRequestMemory(defaultMaxBody))
	}
	// All events that fit, with the longest User-Agent.
	r := newRig(t, func(c *Config) { c.Limits.MaxMemory = maxRequestMemory(defaultMaxBody) })
	one := `{"type":"page","userId":"u","context":{"direct":true},"p":"` + strings.Repeat("x", 20) + `"}`
	body := `{"batch":[` + strings.Repeat(one+",", maxEvents-1) + one + `]}`
	for range 2 {
		status, code := r.post("/v1/b", zipped(t, body), "User-Agent", strings.Repeat(`"`, 600))
		want(t, "answer", []any{status, code}, []any{200, ""})
	}
	if size := unsafe.Sizeof(event.Received{}); size > 512 {
		t.Errorf("an event takes %d bytes", size)
	}
}

func TestRejectedEventsCountOnceTheirRequestIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	body := `{"batch":[` + track("1") + `,{"type":"foo"}]}`
	r.queue.send = refuseAll
	status, _ := r.post("/v1/batch", body)
	want(t, "status", status, 429)
	want(t, "rejected", len(r.counters.Totals().Rejected), 0)
	r.queue.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "status", status, 200)
	want(t, "rejected", r.counters.Totals().Rejected, map[string]int{"type_unknown": 1})
}
