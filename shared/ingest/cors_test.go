package ingest

import (
	"fmt"
	"strings"
	"testing"
)

// names are the entries of a header that is a list.
func names(list string) map[string]bool {
	out := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		out[strings.ToLower(strings.TrimSpace(name))] = true
	}
	return out
}

func TestAPreflightAllowsTheHeadersThatThePageAsksFor(t *testing.T) {
	r := newRig(t, nil)
	for asked, allowed := range map[string][]string{
		"":                                 {"authorization", "content-type", "x-retry-count"},
		"authorization,content-type":       {"authorization", "content-type"},
		"content-encoding":                 {"content-encoding"},
		"x-datadog-trace-id,traceparent":   {"x-datadog-trace-id", "traceparent", "authorization"},
		" x-tenant ,\tTracestate, baggage": {"x-tenant", "tracestate", "baggage"},
		"sentry-trace,,b3":                 {"sentry-trace", "b3"},
		"*":                                {"*", "authorization"},
	} {
		w := r.do("OPTIONS", "/v1/t", "", "Origin", "https://acme.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", asked)
		want(t, "status", w.Code, 204)
		got := names(w.Header().Get("Access-Control-Allow-Headers"))
		for _, name := range allowed {
			if !got[name] {
				t.Errorf("%q: %s is not allowed, but %v", asked, name, got)
			}
		}
		vary := names(w.Header().Get("Vary"))
		want(t, "vary", vary["origin"] && vary["access-control-request-headers"] &&
			vary["access-control-request-private-network"], true)
	}
}

func TestWhatAPreflightEchoesIsBoundedAndHarmless(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("x-header-%d", i))
	}
	got := allowHeaders([]string{strings.Join(many, ","), "x-second-line"})
	if len(got) > len(allowedHeaders)+maxAllowedHeaders+2 || !strings.Contains(got, "x-header-0, x-header-1, ") ||
		strings.Contains(got, "x-header-999") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	for _, name := range []string{"a b", "a\r\nset-cookie: x", "<script>", "ä", `"x"`, "a:b", strings.Repeat("x", 3000), "\x00"} {
		if got := allowHeaders([]string{name}); got != allowedHeaders {
			t.Errorf("%q is allowed: %q", name, got)
		}
	}
	want(t, "headers on two lines", allowHeaders([]string{"x-a", "x-b"}), allowedHeaders+", x-a, x-b")
	want(t, "headers that are allowed anyway", allowHeaders([]string{"Authorization, X-Retry-Count"}), allowedHeaders)
}

func TestAPublicPageMaySendToAPrivateAddress(t *testing.T) {
	r := newRig(t, nil)
	const asks, allows = "Access-Control-Request-Private-Network", "Access-Control-Allow-Private-Network"
	preflight := []string{"Origin", "https://acme.example", "Access-Control-Request-Method", "POST"}
	want(t, "answer", r.do("OPTIONS", "/v1/t", "", append(preflight, asks, "true")...).Header().Get(allows), "true")
	for _, w := range []string{
		r.do("OPTIONS", "/v1/t", "", preflight...).Header().Get(allows),
		r.do("OPTIONS", "/v1/t", "", append(preflight, asks, "false")...).Header().Get(allows),
		r.do("POST", "/v1/t", track("m"), append(basic(), asks, "true")...).Header().Get(allows),
	} {
		want(t, "answer to a request that does not ask", w, "")
	}
}

func TestAPageCanReadThatItsPathIsWrong(t *testing.T) {
	r := newRig(t, nil)
	want(t, "preflight", r.do("OPTIONS", "/v1/tarck", "", "Origin", "https://acme.example",
		"Access-Control-Request-Method", "POST").Code, 204)
	w := r.do("POST", "/v1/tarck", track("m"), append(basic(), "Origin", "https://acme.example")...)
	status, code := r.understood(w)
	want(t, "answer", []any{status, code, w.Header().Get("Access-Control-Allow-Origin")},
		[]any{404, "not_found", "https://acme.example"})
	want(t, "without a page", r.do("OPTIONS", "/v1/tarck", "").Code, 404)
}

func TestTheWaitIsSaidInBothHeadersButToNode(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = refuseAll
	for agent, both := range map[string]bool{
		"": true, "Mozilla/5.0 (Macintosh)": true, "analytics-python/2.3.4": true, "analytics-node-next/latest": false,
	} {
		w := r.do("POST", "/v1/t", track("m"), append(basic(), "User-Agent", agent)...)
		after, reset := w.Header().Get("Retry-After"), w.Header().Get("X-RateLimit-Reset")
		if w.Code != 429 || after == "" || both != (reset == after) || !both && reset != "" {
			t.Errorf("%q: %d, Retry-After %q, X-RateLimit-Reset %q", agent, w.Code, after, reset)
		}
	}
}
