package segmentd

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	product "github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
)

// queue stores the events that it gets.
type queue struct {
	mu     sync.Mutex
	events []string
}

func (q *queue) Send(_ context.Context, messages []message.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, err := message.NewDecoder()
	if err != nil {
		return err
	}
	defer d.Close()
	for _, m := range messages {
		var c message.Content
		if err := d.Decode([]byte(m.Body), &c); err != nil {
			return err
		}
		for _, e := range c.Events {
			q.events = append(q.events, string(e.Raw))
		}
	}
	return nil
}

func (q *queue) Refusing(time.Time) bool { return false }

// endpoint is the ingest endpoint and what its queues have.
type endpoint struct {
	*ingest.Handler
	queue, deadLetters queue
	counters           ingest.Counters
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	keys, err := ingest.NewKeys(map[string]ingest.Key{"key": {Name: "a"}, "off": {Name: "b", Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{}
	e.Handler, err = ingest.New(ingest.Config{Queue: &e.queue, DeadLetters: &e.deadLetters, Keys: keys,
		Report: e.counters.Add})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *endpoint) post(key, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/batch", strings.NewReader(body))
	r.SetBasicAuth(key, "")
	e.ServeHTTP(w, r)
	return w
}

// consent is a consent event with that context and these other fields.
func consent(context, fields string) string {
	return `{"type":"track","event":"Segment Consent Preference Updated","userId":"u","messageId":"m"` + fields +
		`,"context":` + context + `}`
}

const categories = `{"consent":{"categoryPreferences":{"Advertising":true,"Analytics":false}}`

// discards are the rows of Segment's table of discards about events, in its order (segment-docs,
// Delivery Overview, "Failed on ingest"). Its other rows are about whole requests, which tests below
// hold, and about source functions, which are no part of the Tracking API: bad_request,
// unknown_source, invalid_settings, locked_workspace, internal, TRACKING_API_FAILED,
// SET_API_FAILED, lambda_err, too_many_requests, FUNCTION_TIMEOUT, RETRY_ERROR, INVOKE_ERROR,
// BAD_DEPLOY.
var discards = []struct {
	reason, code string
	events       []string // each is discarded for it
}{
	{"No userID or anonymousID", "no_user_anon_id", []string{
		`{"type":"track","event":"e"}`, `{"type":"identify","userId":"","anonymousId":null}`, `{"type":"page"}`,
		`{"type":"screen","userId":null}`, `{"type":"group","groupId":"g"}`}},
	{"Event not defined", "event_not_defined", []string{
		`{"type":"track","userId":"u"}`, `{"type":"track","userId":"u","event":""}`,
		`{"type":"track","userId":"u","event":null}`}},
	{"Track event not a string", "event_not_string", []string{
		`{"type":"track","userId":"u","event":7}`, `{"type":"track","userId":"u","event":{}}`,
		`{"type":"track","userId":"u","event":["e"]}`, `{"type":"track","userId":"u","event":true}`}},
	{"Properties must be an object", "properties_not_object", []string{
		`{"type":"track","userId":"u","event":"e","properties":[]}`, `{"type":"page","userId":"u","properties":"p"}`,
		`{"type":"screen","userId":"u","properties":7}`}},
	{"Traits must be an object", "traits_not_object", []string{
		`{"type":"identify","userId":"u","traits":[]}`, `{"type":"group","userId":"u","groupId":"g","traits":"t"}`}},
	{"Name must be a non-empty string", "name_not_string", []string{ // empty ones: see below
		`{"type":"page","userId":"u","name":7}`, `{"type":"screen","userId":"u","name":{}}`,
		`{"type":"page","userId":"u","name":false}`}},
	{"Category must be a non-empty string", "category_not_string", []string{
		`{"type":"page","userId":"u","category":7}`, `{"type":"screen","userId":"u","category":[]}`}},
	// The table says that a userId or an anonymousId is missing, which is no_user_anon_id above. This is
	// the code for the ids that only some types need.
	{"Identifier is required", "id_required", []string{
		`{"type":"group","userId":"u"}`, `{"type":"group","userId":"u","groupId":""}`,
		`{"type":"alias","userId":"u"}`, `{"type":"alias","previousId":"p"}`,
		`{"type":"alias","userId":"","previousId":"p"}`}},
	// Not in the table of today, but in one of before.
	{"Identifier is not a string", "id_not_string", []string{
		`{"type":"track","userId":{},"event":"e"}`, `{"type":"group","userId":"u","groupId":[]}`,
		`{"type":"alias","userId":"u","previousId":true}`}},
	{"Consent Categories object must exist", "consent_categoryprefences_should_exist", []string{
		consent(`null`, `,"anonymousId":"a"`), consent(`{}`, `,"anonymousId":"a"`),
		consent(`{"consent":{}}`, `,"anonymousId":"a"`), consent(`{"consent":"all"}`, `,"anonymousId":"a"`),
		strings.Replace(consent(`{"consent":{"categoryPreferences":null}}`, ``), " Updated", "", 1)}},
	{"Consent Categories field must be an object", "consent_categorypreferences_should_be_object", []string{
		consent(`{"consent":{"categoryPreferences":[]}}`, `,"anonymousId":"a"`),
		consent(`{"consent":{"categoryPreferences":"all"}}`, `,"anonymousId":"a"`)}},
	{"Consent Categories field must be booleans", "consent_categorypreferences_fields_should_be_bool", []string{
		consent(`{"consent":{"categoryPreferences":{"a":true,"b":1}}}`, `,"anonymousId":"a"`),
		consent(`{"consent":{"categoryPreferences":{"a":"true"}}}`, `,"anonymousId":"a"`),
		consent(`{"consent":{"categoryPreferences":{"a":null}}}`, `,"anonymousId":"a"`)}},
	{"Device advertisingId should be a string", "device_advertisingid_should_be_string", []string{
		consent(categories+`,"device":{"advertisingId":7}}`, `,"anonymousId":"a"`),
		consent(categories+`,"device":{"advertisingId":{}}}`, `,"anonymousId":"a"`)}},
	{"anonymousId must be set", "consent_needs_anonymous_id_set", []string{
		consent(categories+`}`, ``), consent(categories+`}`, `,"anonymousId":""`),
		consent(categories+`}`, `,"anonymousId":null`)}},
	{"anonymousId invalid", "anonymous_id_invalid", []string{consent(categories+`}`, `,"anonymousId":7`)}},
}

func TestEveryDiscardOfSegmentsTableIsADeadLetterWithItsCode(t *testing.T) {
	for _, row := range discards {
		for _, event := range row.events {
			body := batchOf(track("good"), event)
			e := newEndpoint(t)
			if w := e.post("key", body); w.Code != 200 || len(e.queue.events) != 1 || len(e.deadLetters.events) != 1 ||
				e.counters.Totals().Rejected[row.code] != 1 {
				t.Errorf("%s: %s: %d %s; rejected %v, %d in the queue, %d dead letters", row.reason, event, w.Code, w.Body,
					e.counters.Totals().Rejected, len(e.queue.events), len(e.deadLetters.events))
			}
			s := New(Options{})
			wantStatus(t, post(t, s, "/v1/batch", body), 200)
			if got := s.Stats(); got.Received != 1 || got.Rejected[row.code] != 1 {
				t.Errorf("%s: %s: the emulator rejects %v", row.reason, event, got.Rejected)
			}
			if w := e.post("key", batchOf(event)); w.Code != 400 || !strings.Contains(w.Body.String(), `"`+row.code+`"`) {
				t.Errorf("%s: %s alone: %d %s", row.reason, event, w.Code, w.Body)
			}
		}
	}
}

func TestAnEmptyNameOrCategoryIsLeftOutBecauseSegmentDiscardsIt(t *testing.T) {
	// Segment's SDK for Kotlin sends an empty category with every screen that has none. A dead letter
	// would keep all of these from Segment; sent as they are, they would be lost by its documentation.
	for event, code := range map[string]string{
		`{"type":"page","userId":"u","messageId":"m","timestamp":"x","name":""}`:                     codeNameNotString,
		`{"type":"screen","userId":"u","messageId":"m","timestamp":"x","name":"n","category":""}`:    codeCategoryNotString,
		`{"category":"","type":"screen","userId":"u","name":"","messageId":"m","timestamp":"x"}`:     codeNameNotString,
		`{"type":"screen","category":"","userId":"u","messageId":"m","timestamp":"x","name":"Home"}`: codeCategoryNotString,
	} {
		s := New(Options{})
		wantStatus(t, post(t, s, "/v1/batch", batchOf(event)), 200)
		if s.Stats().Rejected[code] != 1 {
			t.Errorf("%s: the emulator rejects %v, want %s", event, s.Stats().Rejected, code)
		}
		e := newEndpoint(t)
		w := e.post("key", batchOf(event))
		want := strings.NewReplacer(`,"name":""`, "", `,"category":""`, "", `"category":"",`, "").Replace(event)
		if w.Code != 200 || len(e.queue.events) != 1 || e.queue.events[0] != want {
			t.Fatalf("%s: %d %s; sent %s, want %s", event, w.Code, w.Body, e.queue.events, want)
		}
		wantStatus(t, post(t, s, "/v1/batch", batchOf(e.queue.events[0])), 200)
		wantReceived(t, s, 1)
		if omitted := e.counters.Totals().Omitted; omitted["name"] != strings.Count(event, `"name":""`) ||
			omitted["category"] != strings.Count(event, `"category":""`) {
			t.Errorf("%s: omitted %v", event, omitted)
		}
	}
}

func TestEveryDiscardOfAWholeRequestIsRefused(t *testing.T) {
	for _, row := range []struct {
		reason, code string // Segment's
		key, body    string
		ours         string // code of the 400
		emulators    string // code of the events that are dropped behind a 200
	}{
		{"Empty batch result", "empty_batch_result", "key", batchOf(`{"type":"track"}`, `7`), "no_user_anon_id",
			codeNoUserAnonID}, // after the rules no event is left
		{"Project not found", "project_not_found", "other", tracks(1), product.InvalidWriteKey.Code, codeUnknownWriteKey},
		{"Source disabled", "source_disabled", "off", tracks(1), "source_disabled", codeUnknownWriteKey},
		{"Batch is empty", "empty_batch", "key", `{"batch":[]}`, "empty_batch", codeEmptyBatch},
	} {
		e := newEndpoint(t)
		if w := e.post(row.key, row.body); w.Code != 400 || !strings.Contains(w.Body.String(), `"`+row.ours+`"`) ||
			len(e.queue.events) != 0 {
			t.Errorf("%s (%s): %d %s, want %s", row.reason, row.code, w.Code, w.Body, row.ours)
		}
		s := New(Options{WriteKeys: []string{"key"}})
		wantStatus(t, post(t, s, "/v1/batch", row.body, func(r *http.Request) { r.SetBasicAuth(row.key, "") }), 200)
		if got := s.Stats(); got.Received != 0 || got.Rejected[row.emulators] == 0 {
			t.Errorf("%s (%s): the emulator: %+v", row.reason, row.code, got)
		}
	}
}

func TestABatchWithSomeBadEventsIsAcceptedForTheOthers(t *testing.T) {
	// Segment's "Multi user error": some messages of the batch are published, others are not.
	var bad []string
	for _, row := range discards {
		bad = append(bad, row.events...)
	}
	e := newEndpoint(t)
	w := e.post("key", batchOf(append(append([]string{track("first")}, bad...), track("last"))...))
	if w.Code != 200 || len(e.queue.events) != 2 || len(e.deadLetters.events) != len(bad) {
		t.Errorf("%d %s; %d in the queue, %d dead letters of %d", w.Code, w.Body, len(e.queue.events),
			len(e.deadLetters.events), len(bad))
	}
	if got, want := fmt.Sprint(len(e.counters.Totals().Rejected)), fmt.Sprint(len(discards)); got != want {
		t.Errorf("%s codes, want %s", got, want)
	}
}

func TestConsentInABatchsContextCountsForItsEvents(t *testing.T) {
	const bare = `{"type":"track","event":"Segment Consent Preference Updated","anonymousId":"a","messageId":"m"`
	for _, c := range []struct{ shared, event, code string }{
		{categories + `}`, bare + `}`, ""},
		{categories + `}`, bare + `,"context":{"ip":"1.2.3.4"}}`, ""},
		{categories + `}`, bare + `,"context":{"consent":null}}`, ""},
		{categories + `}`, bare + `,"context":{"consent":{}}}`, "consent_categoryprefences_should_exist"},
		{`{"consent":{"categoryPreferences":[]}}`, bare + `,"context":` + categories + `}}`, ""},
		{`{"device":{"advertisingId":7}}`, bare + `,"context":` + categories + `}}`,
			"device_advertisingid_should_be_string"},
		{`{"device":{"advertisingId":7}}`, bare + `,"context":` + categories + `,"device":{}}}`, ""},
		{`{"ip":"1.2.3.4"}`, bare + `}`, "consent_categoryprefences_should_exist"},
		{`{"consent":{}}`, track("no consent event"), ""},
	} {
		for _, body := range []string{`{"context":` + c.shared + `,"batch":[` + track("good") + `,` + c.event + `]}`,
			`{"batch":[` + track("good") + `,` + c.event + `],"context":` + c.shared + `}`} {
			e := newEndpoint(t)
			s := New(Options{})
			want := 2
			if c.code != "" {
				want = 1
			}
			if w := e.post("key", body); w.Code != 200 || len(e.queue.events) != want ||
				c.code != "" && e.counters.Totals().Rejected[c.code] != 1 {
				t.Errorf("%s: %d, %d events in the queue, rejected %v", body, w.Code, len(e.queue.events),
					e.counters.Totals().Rejected)
			}
			wantStatus(t, post(t, s, "/v1/batch", body), 200)
			if got := s.Stats(); got.Received != int64(want) || c.code != "" && got.Rejected[c.code] != 1 {
				t.Errorf("%s: the emulator: %+v", body, got)
			}
			// A message of the queue is judged in the same way.
			d, err := message.NewDecoder()
			if err != nil {
				t.Fatal(err)
			}
			var m message.Content
			if err := d.Decode([]byte(body), &m); err != nil {
				t.Fatal(err)
			}
			d.Close()
			if p := m.Events[1].Problem; (p == nil) != (c.code == "") || p != nil && p.Code != c.code {
				t.Errorf("%s: in the queue the problem is %v, want %q", body, p, c.code)
			}
		}
	}
}
