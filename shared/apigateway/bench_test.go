package apigateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func BenchmarkInvoke(b *testing.B) {
	body, err := json.Marshal(strings.Repeat("x", 1000))
	if err != nil {
		b.Fatal(err)
	}
	event := []byte(`{"version":"2.0","routeKey":"$default","rawPath":"/v1/batch","rawQueryString":"","headers":{"host":"h","content-type":"application/json",` +
		`"authorization":"Basic d2stZGVtbzo=","user-agent":"analytics-node-next/latest","x-forwarded-for":"203.0.113.9","x-forwarded-proto":"https"},` +
		`"requestContext":{"accountId":"1","apiId":"a","domainName":"d","http":{"method":"POST","path":"/v1/batch","protocol":"HTTP/1.1","sourceIp":"203.0.113.9"},` +
		`"requestId":"r","stage":"$default","timeEpoch":1795428005500},"isBase64Encoded":false,"body":` + string(body) + `}`)
	h := Handler{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"success":true}`)
	})}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), event); err != nil {
			b.Fatal(err)
		}
	}
}
