package rawjson

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sdkEvents are events of about 1.1 KB as a server SDK sends them: short keys, values of any
// length, and numbers. They differ, because a processor foresees the branches of a document that it
// has read before.
func sdkEvents() [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(most int) string { return strings.Repeat("words of a text ", 4)[:1+random.IntN(most)] }
	events := make([][]byte, 256)
	for i := range events {
		var e strings.Builder
		fmt.Fprintf(&e, `{"type":"track","event":"%s","userId":"user-%d","messageId":"%08x-87a3-44ab-83d2-661975830a7d",`+
			`"timestamp":"2026-11-01T00:00:00.000Z","context":{"library":{"name":"analytics-go","version":"3.0.0"},`+
			`"ip":"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","locale":"en-US"},`+
			`"properties":{`, word(30), random.IntN(1e6), random.Uint32())
		for e.Len() < 1080 {
			fmt.Fprintf(&e, `"%s":"%s","%s":%d.%d,`, word(14), word(30), word(14), random.IntN(10000), random.IntN(100))
		}
		e.WriteString(`"currency":"USD"}}`)
		events[i] = []byte(e.String())
	}
	return events
}

// bodies are the events as bodies of messages, which are strings in Lambda's payload.
func bodies(b *testing.B) [][]byte {
	b.Helper()
	all := sdkEvents()
	for i, e := range all {
		body, err := json.Marshal(string(e))
		if err != nil {
			b.Fatal(err)
		}
		all[i] = body
	}
	return all
}

func BenchmarkScanner(b *testing.B) {
	docs := sdkEvents()
	b.Run("rawjson", func(b *testing.B) {
		b.ReportAllocs()
		var s Scanner
		for i := 0; b.Loop(); i++ {
			s.Reset(docs[i%len(docs)])
			walk(&s, 1)
			if s.End() != nil {
				b.Fatal(s.Err())
			}
		}
	})
	b.Run("encoding/json.Valid", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			json.Valid(docs[i%len(docs)])
		}
	})
}

// BenchmarkText is the cost of a string with a quote every few bytes, validated and unescaped.
func BenchmarkText(b *testing.B) {
	docs := bodies(b)
	b.ReportAllocs()
	var s Scanner
	var buffer []byte
	for i := 0; b.Loop(); i++ {
		s.Reset(docs[i%len(docs)])
		_, buffer = s.Text(buffer)
		if s.End() != nil {
			b.Fatal(s.Err())
		}
	}
}
