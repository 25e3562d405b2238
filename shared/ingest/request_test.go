package ingest

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestPooledBuffersAreBounded(t *testing.T) {
	r := newRig(t, nil)
	bodies := []string{
		`{"batch":[` + strings.Repeat("{},", 2000) + `{` + strings.Repeat(`"type":1,`, 50_000) + `"a":1}]}`,
		`{"batch":[` + strings.Repeat("{},", 400) + track("1") + `]}`,
		`{"batch":[` + track("1") + strings.Repeat(" ", 200_000) + `]}`,
		zipped(t, `{"batch":[`+track("1")+strings.Repeat(" ", 200_000)+`]}`),
		`{"batch":[` + strings.Repeat("{},", 100) + `{}],"batch":[` + track("1") + `]}`,
	}
	var inUse []*request // at the same time
	for i := range 200 {
		q := r.pool.get()
		if body := bodies[i%len(bodies)]; q.content.parse([]byte(body), route{kind: routeBatch}) == nil {
			q.raw = append(q.raw, body...)
			q.enrichment = event.Enrichment{AppendID: appendID}
			q.partition()
		}
		inUse = append(inUse, q)
	}
	for _, q := range inUse {
		q.reset()
		r.pool.put(q)
	}
	pooled := 0
	for _, q := range r.pool.free {
		pooled += q.size()
		for _, e := range q.content.events[:cap(q.content.events)] {
			if e.Raw != nil || e.WriteKey != nil {
				t.Fatal("an event of an answered request is still referenced")
			}
		}
		for _, l := range q.parts {
			for _, e := range l.events[:cap(l.events)] {
				if e != nil {
					t.Fatal("an event in a buffer is still referenced")
				}
			}
		}
	}
	if pooled > maxPooled || pooled == 0 || len(r.pool.free) == len(inUse) {
		t.Errorf("%d requests with %d bytes are pooled", len(r.pool.free), pooled)
	}
	for range len(r.pool.free) {
		r.pool.get()
	}
	want(t, "bytes of an empty pool", r.pool.bytes, 0)
}

func TestTheLargestRequestFitsTheMemoryBudget(t *testing.T) {
	if DefaultMaxMemory < maxRequestMemory(defaultMaxBody) {
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
