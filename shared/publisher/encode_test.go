package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
)

var thorough = flag.Int("thorough", 1, "how many times as many random cases are tried")

// realClient sends messages with analytics-go itself and returns the events that it puts on the
// wire, and its batch's context.
func realClient(t testing.TB, defaults *analytics.Context, messages ...analytics.Message) (events []json.RawMessage,
	context json.RawMessage) {
	t.Helper()
	var mu sync.Mutex
	failures := &outcomes{}
	client, err := analytics.NewWithConfig("key", analytics.Config{
		DefaultContext: defaults, Logger: analytics.StdLogger(log.New(io.Discard, "", 0)), Interval: time.Millisecond,
		Callback: failures, BatchSize: 1,
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			var batch struct {
				Batch   []json.RawMessage
				Context json.RawMessage
			}
			if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			events = append(events, batch.Batch...)
			context = batch.Context
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := client.Enqueue(m); err != nil {
			t.Fatalf("analytics-go does not take %#v: %v", m, err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(failures.all(false)); n > 0 {
		t.Fatalf("analytics-go failed with %d of %d messages: %v", n, len(messages), failures.err)
	}
	return events, context
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// outcomes is a Callback that remembers.
type outcomes struct {
	mu   sync.Mutex
	ok   []analytics.Message
	bad  []analytics.Message
	errs []error
	err  error
}

func (o *outcomes) Success(m analytics.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ok = append(o.ok, m)
}

func (o *outcomes) Failure(m analytics.Message, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bad, o.errs, o.err = append(o.bad, m), append(o.errs, err), err
}

func (o *outcomes) all(success bool) []analytics.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if success {
		return o.ok
	}
	return o.bad
}

func decoded(t testing.TB, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestEncodedMessagesEqualWhatAnalyticsGoSends(t *testing.T) {
	var e encoder
	for seed := range 8 * *thorough {
		r := random{rand.New(rand.NewPCG(uint64(seed), 4))}
		var messages []analytics.Message
		want := map[string]any{}
		for range 100 {
			messages = append(messages, r.message())
		}
		sent, _ := realClient(t, nil, messages...)
		// The client sends in no order, and ids may be the same: what is compared is how many there
		// are of each value.
		for _, event := range sent {
			want[canonical(t, event)] = event
		}
		if len(sent) != len(messages) {
			t.Fatalf("seed %d: analytics-go sent %d of %d", seed, len(sent), len(messages))
		}
		for _, m := range messages {
			if _, err := e.encode(m, time.Now(), false); err != nil {
				t.Fatalf("seed %d: %#v: %v", seed, m, err)
			}
			if _, ok := want[canonical(t, e.buf)]; !ok {
				theirs, _ := json.Marshal(m)
				t.Fatalf("seed %d: this is not what analytics-go sends:\n%s\nit would be like\n%s", seed, e.buf, theirs)
			}
		}
	}
}

// canonical is a value's JSON with sorted keys, and its numbers as they were written.
func canonical(t testing.TB, text []byte) string {
	out, err := json.Marshal(decoded(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestMessageContextEqualsAnalyticsGosBatchContext(t *testing.T) {
	track := analytics.Track{UserId: "u", Event: "E", MessageId: "m", Timestamp: time.Unix(1, 0)}
	for _, defaults := range []*analytics.Context{nil,
		{App: analytics.AppInfo{Name: "x"}, Extra: map[string]any{"direct": 1},
			Library: analytics.LibraryInfo{Name: "mine"}}} {
		h, err := newHeader(&Config{DefaultContext: defaults})
		if err != nil {
			t.Fatal(err)
		}
		_, context := realClient(t, defaults, track)
		if !reflect.DeepEqual(decoded(t, h.Context), decoded(t, context)) {
			t.Errorf("the context is %s, want %s", h.Context, context)
		}
	}
}

func TestInvalidMessagesGetAnalyticsGosError(t *testing.T) {
	client := analytics.New("key")
	defer client.Close()
	var e encoder
	for _, m := range []analytics.Message{
		analytics.Track{}, analytics.Track{UserId: "u"}, analytics.Track{Event: "E"}, &analytics.Track{},
		analytics.Identify{}, analytics.Page{Name: "n"}, &analytics.Screen{},
		analytics.Group{UserId: "u"}, analytics.Group{GroupId: "g"}, analytics.Alias{UserId: "u"},
		analytics.Alias{PreviousId: "p"},
	} {
		_, err := e.encode(m, time.Now(), false)
		if want := client.Enqueue(m); err != want {
			t.Errorf("%#v: %v, want %v", m, err, want)
		}
	}
}

type custom struct{ err error }

func (c custom) Validate() error { return c.err }

type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("not today") }

func TestUnencodableMessagesGetAnEventError(t *testing.T) {
	loop := map[string]any{}
	loop["again"] = loop
	self := []any{nil}
	self[0] = self
	track := func(v any) analytics.Message {
		return analytics.Track{UserId: "u", Event: "E", Properties: analytics.Properties{"v": v}}
	}
	in := func(c analytics.Context) analytics.Message {
		return analytics.Track{UserId: "u", Event: "E", Context: &c}
	}
	invalid := errors.New("my own rule")
	for _, c := range []struct {
		name    string
		message analytics.Message
		reason  string
		want    string
	}{
		{"NaN", track(math.NaN()), Unencodable, "properties can't be written"},
		{"infinite", track([]float64{math.Inf(1)}), Unencodable, "+Inf"},
		{"NaN of 32 bits", track(float32(math.NaN())), Unencodable, "NaN"},
		{"a channel", track(make(chan int)), Unencodable, "chan int"},
		{"a function in a struct", track(struct{ F func() }{}), Unencodable, "func()"},
		{"a json.Number that is not a number", track(json.Number("1x")), Unencodable, "1x"},
		{"a json.RawMessage that is not JSON", track(json.RawMessage("{")), Unencodable, "properties"},
		{"a map that holds itself", track(loop), Unencodable, "holds itself"},
		{"a list that holds itself", track(self), Unencodable, "holds itself"},
		{"a MarshalJSON that panics", track(panicking{}), Unencodable, "not today"},
		{"a nil pointer to a time", track((*time.Time)(nil)), "", ""},
		{"a year of five digits", track(time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)), Unencodable, "year"},
		{"a timestamp of five digits",
			analytics.Track{UserId: "u", Event: "E", Timestamp: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)}, Unencodable,
			"timestamp"},
		{"an IP of 3 bytes", in(analytics.Context{IP: net.IP{1, 2, 3}}), Unencodable, "context"},
		{"NaN in a location", in(analytics.Context{Location: analytics.LocationInfo{Latitude: math.NaN()}}), Unencodable,
			"context"},
		{"NaN in Extra", in(analytics.Context{Extra: map[string]any{"x": math.NaN()}}), Unencodable, "context"},
		{"integrations", analytics.Alias{UserId: "u", PreviousId: "p",
			Integrations: analytics.Integrations{"x": make(chan int)}}, Unencodable, "integrations"},
		{"traits", analytics.Group{UserId: "u", GroupId: "g", Traits: analytics.Traits{"x": make(chan int)}}, Unencodable,
			"traits"},
		{"33 KB", track(strings.Repeat("x", 33<<10)), TooLarge, "32768"},
		{"33 KB in pieces", track([]any{strings.Repeat("x", 17<<10), strings.Repeat("x", 17<<10)}), TooLarge, "send less"},
		{"a name of 33 KB", analytics.Track{UserId: "u", Event: strings.Repeat("x", 33<<10)}, TooLarge, "32768"},
		{"a MarshalJSON that writes 33 KB", track(marshaler{strings.Repeat("x", 33<<10)}), TooLarge, "32768"},
		{"nil", nil, Unencodable, "nil"},
		{"a nil track", (*analytics.Track)(nil), Unencodable, "nil *analytics.Track"},
		{"a nil alias", (*analytics.Alias)(nil), Unencodable, "nil *analytics.Alias"},
		{"a custom type", custom{}, Unencodable, "messages with custom types cannot be enqueued: publisher.custom"},
		{"an empty Raw", Raw{}, Unencodable, "NewRaw"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e encoder
			_, err := e.encode(c.message, time.Now(), true)
			var typed *EventError
			switch {
			case c.reason == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &typed) || typed.Reason != c.reason || !strings.Contains(err.Error(), c.want):
				t.Errorf("error %v, want an EventError of reason %s with %q", err, c.reason, c.want)
			case c.reason == TooLarge && !errors.Is(err, analytics.ErrMessageTooBig):
				t.Errorf("%v is not analytics-go's ErrMessageTooBig", err)
			}
		})
	}
	var e encoder
	if _, err := e.encode(custom{invalid}, time.Now(), false); err != invalid {
		t.Errorf("error %v, want that of Validate", err)
	}
}

func TestEncoderReleasesTheMemoryOfAHugeEvent(t *testing.T) {
	huge := strings.Repeat("x", 4<<20)
	for _, m := range []analytics.Message{
		analytics.Track{UserId: huge, Event: "E"},
		analytics.Track{UserId: "u", Event: "E", Properties: analytics.Properties{"v": huge}},
		analytics.Track{UserId: "u", Event: "E", Properties: analytics.Properties{huge: "v"}},
		analytics.Track{UserId: "u", Event: "E", Properties: analytics.Properties{"v": marshaler{huge}}},
		analytics.Track{UserId: "u", Event: "E", Context: &analytics.Context{UserAgent: huge}},
	} {
		var e encoder
		_, err := e.encode(m, time.Now(), false)
		var typed *EventError
		if !errors.As(err, &typed) || typed.Reason != TooLarge {
			t.Errorf("error %v, want an EventError of reason %s", err, TooLarge)
		}
		if cap(e.buf) > 1<<20 {
			t.Errorf("the encoder keeps %d bytes", cap(e.buf))
		}
	}
}

func TestDefaultContextLargerThanAnEventIsAConfigError(t *testing.T) {
	_, err := newHeader(&Config{DefaultContext: &analytics.Context{UserAgent: strings.Repeat("x", 33<<10)}})
	var field *ConfigError
	if !errors.As(err, &field) || field.Field != "DefaultContext" {
		t.Errorf("error %v, want a ConfigError of DefaultContext", err)
	}
}

func TestMessageWithoutIDAndTimestampGetsBoth(t *testing.T) {
	var e encoder
	now := time.Date(2026, 11, 24, 1, 2, 3, 4_000_000, time.UTC)
	p, err := e.encode(&analytics.Track{UserId: "u", Event: "E"}, now, true)
	if err != nil {
		t.Fatal(err)
	}
	kept := p.message.(analytics.Track)
	want := `{"type":"track","messageId":"` + kept.MessageId +
		`","userId":"u","event":"E","timestamp":"2026-11-24T01:02:03.004Z"}`
	if string(e.buf) != want || len(kept.MessageId) != 36 || !kept.Timestamp.Equal(now) || kept.Type != "track" {
		t.Errorf("wrote %s, kept %#v", e.buf, kept)
	}
}

func TestRawIsSentByteForByte(t *testing.T) {
	var e encoder
	for _, c := range []struct{ in, out string }{
		{` {"type":"track","messageId":"m","timestamp":"t", "category" : 1.50} ` + "\n",
			`{"type":"track","messageId":"m","timestamp":"t", "category" : 1.50}`},
		{`{"messageId":"m","type":5}`, `"type":5}`},
		{"\xef\xbb\xbf" + `{"messageId":"m","timestamp":"t"}`, `{"messageId":"m","timestamp":"t"}`},
		{`{"messageId":"m","timestamp":"","a":1}`, `","a":1}`},
		{`{"messageId":"m","timestamp":"t","type":"page","name":""}`, `{"messageId":"m","timestamp":"t","type":"page"}`},
		// As large as Segment takes, and without room for an identity.
		{`{"a":"` + strings.Repeat("x", event.MaxEventBytes-8) + `"}`,
			`{"a":"` + strings.Repeat("x", event.MaxEventBytes-8) + `"}`},
	} {
		raw, err := NewRaw([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.encode(raw, time.Now(), false); err != nil || !strings.HasSuffix(string(e.buf), c.out) {
			t.Errorf("%s became %s: %v", c.in, e.buf, err)
		}
	}
	for in, want := range map[string]string{
		"": "not JSON", "x": "not JSON", "[1]": "not a JSON object", `{"a":1}{}`: "not JSON", `{"batch":[]}`: "is a batch",
		`{"a":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`:   "larger",
		`{"a":"` + strings.Repeat("x", event.MaxEventBytes-7) + `"}`: "larger",
	} {
		var typed *EventError
		if _, err := NewRaw([]byte(in)); !errors.As(err, &typed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: error %v, want %q", in, err, want)
		}
	}
}
