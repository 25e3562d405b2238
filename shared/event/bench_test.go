package event

import (
	"bytes"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

func BenchmarkScanReceived(b *testing.B) {
	document := sample(1)
	var s rawjson.Scanner
	var e Received
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(document)
		if ScanReceived(&s, document, "", &e) != nil || e.Problem != nil {
			b.Fatal(e.Problem)
		}
	}
}

func BenchmarkAppendEnriched(b *testing.B) {
	sdk := sample(1)
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		document   []byte
		enrichment Enrichment
	}{
		"rebased": {sdk, Enrichment{SentAt: at.Add(-time.Minute)}},
		"client": {bytes.ReplaceAll(sdk, []byte(`"ip":"203.0.113.1",`), nil),
			Enrichment{SentAt: at.Add(-time.Minute), Client: true, IP: "203.0.113.7", UserAgent: "x"}},
		"bare": {[]byte(`{"userId":"u","event":"Run","sentAt":"2026-11-23T11:00:00Z","properties":{"a":1}}`),
			Enrichment{Client: true, IP: "203.0.113.7", UserAgent: "x"}},
	} {
		b.Run(name, func(b *testing.B) {
			var s rawjson.Scanner
			var e Received
			s.Reset(c.document)
			if err := ScanReceived(&s, c.document, "track", &e); err != nil {
				b.Fatal(err)
			}
			c.enrichment.ReceivedAt, c.enrichment.AppendID = at,
				func(dst []byte) []byte { return append(dst, "8b0a4f2c-6a0e-4b43-9a54-000000000000"...) }
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				e.context.scanned = false
				out, _ = e.AppendEnriched(out[:0], &c.enrichment)
			}
		})
	}
}

func BenchmarkAppendIdentified(b *testing.B) {
	for name, document := range map[string]string{
		"absent": `{"type":"track","userId":"u","event":"Run","properties":{"a":1}}`,
		"null":   `{"type":"track","messageId":null,"userId":"u","event":"Run","timestamp":null}`,
	} {
		b.Run(name, func(b *testing.B) {
			e := mustScan(b, document)
			at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out, _ = e.AppendIdentified(out[:0], "8b0a4f2c-6a0e-4b43-9a54-000000000000", at)
			}
		})
	}
}
