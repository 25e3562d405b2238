// Package canary sends an event through the pipeline to see whether events get through, and knows
// when none has.
//
// Everything else that watches the pipeline watches what passes, and says nothing when nothing
// does: no traffic, a closed door, a function that can't start and dead monitoring look the same.
// So every minute an event takes the way of a customer's, from the public door, posted as a Segment
// SDK does, to Segment's; the deliver function counts it there, by its write key
// (deliver.Config.CanaryKey). That this count is missing is the alarm.
//
// The write key says what the canary proves:
//
//   - One that begins with [WriteKey] is nobody's. The event ends where Segment would be called and never reaches it: the canary
//     proves the pipeline, reaches nobody's data, needs no source, and sings on while Segment is down, which has alarms of its own.
//   - Any other is that of a Segment source made for it, and the event really goes there: the canary proves Segment too, and is
//     silent while Segment is down.
//
// Where the first one is to be a secret, so that nobody else can send what ends there, write more
// behind it: spillway-canary-4f1c….
package canary

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
)

const (
	// WriteKey is the one to take where there is no reason for another. Segment's keys have no
	// hyphen, so it is nobody's.
	WriteKey = "spillway-canary"
	// Interval is how often an event is sent.
	Interval = time.Minute
	// Silence is how long none may be heard of: three of them, since one may be lost to a
	// deployment or come late.
	MissingAfter = 3 * Interval
	// Timeout is how long the door has, as long as Segment's SDKs wait.
	Timeout = 10 * time.Second
)

// EndsHere reports whether the events of a canary's write key are not for Segment.
func EndsBeforeSegment(writeKey string) bool { return strings.HasPrefix(writeKey, WriteKey) }

// Config is what a Canary works with. URL and WriteKey must be given.
type Config struct {
	URL       string            // of the door: scheme and host, and perhaps a path in front of /v1
	WriteKey  string            // see the package comment
	Transport http.RoundTripper // nil: http.DefaultTransport
}

// A Canary sends events. It may be used by several goroutines at the same time.
type Canary struct {
	url, writeKey string
	client        *http.Client
}

// New checks the configuration.
func New(c Config) (*Canary, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, fmt.Errorf("the door's URL is %q: write the one that SDKs use, like https://events.example.com", c.URL)
	}
	if c.WriteKey == "" || strings.ContainsFunc(c.WriteKey,
		func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`":\<>`, r) }) {
		return nil, fmt.Errorf("the canary's write key can't be one: write %s, or the key of a Segment source that is "+
			"there for it", WriteKey)
	}
	return &Canary{
		url: strings.TrimRight(c.URL, "/") + "/v1/batch", writeKey: c.WriteKey,
		client: &http.Client{
			Transport: c.Transport, Timeout: Timeout,
			// What a redirect leads to is not the door: a login page's 200 is no acceptance.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// A Result is what became of one event at the door.
type Result struct {
	Latency time.Duration // until the answer, or until none was to be expected
	Status  int           // of the answer, 0 without one
	Err     error         // why it was not accepted; nil: it was
}

// Metrics are the names under which CloudWatch shows a Result. An event that was not accepted has
// no latency.
func (r *Result) Metrics() []emf.Metric {
	accepted := emf.Metric{Name: "CanaryAccepted", Unit: emf.Count, Values: []float64{1}}
	if r.Err != nil {
		accepted.Values[0] = 0
		return []emf.Metric{accepted}
	}
	latency := float64(r.Latency) / float64(time.Millisecond)
	return []emf.Metric{accepted, {Name: "CanaryAcceptLatency", Unit: emf.Milliseconds, Values: []float64{latency}}}
}

// Send posts one event and waits for the answer. It does not try again: how often the door fails is
// what is to be seen. The error of a Result quotes no write key.
func (c *Canary) Send(ctx context.Context) Result {
	start := time.Now()
	status, err := c.post(ctx, start)
	return Result{Latency: time.Since(start), Status: status, Err: err}
}

func (c *Canary) post(ctx context.Context, now time.Time) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body(now)))
	if err != nil {
		return 0, fmt.Errorf("make the canary's request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "spillway-canary")
	request.SetBasicAuth(c.writeKey, "")
	response, err := c.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send the canary: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return response.StatusCode, fmt.Errorf("read the door's answer to the canary: %w", err)
	}
	var said struct {
		Success bool
		Code    string
	}
	_ = json.Unmarshal(answer, &said) // what is no JSON says nothing
	switch {
	case response.StatusCode == http.StatusOK && said.Success:
		return response.StatusCode, nil
	case response.StatusCode == http.StatusOK:
		return response.StatusCode,
			errors.New("something answered the canary 200 that is not the door: see where its URL leads")
	case said.Code == "invalid_write_key":
		return response.StatusCode,
			fmt.Errorf("the door refused the canary (%d %s): give it the same write key as the canary", response.StatusCode,
				said.Code)
	}
	return response.StatusCode,
		fmt.Errorf("the door refused the canary: %s", strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", said.Code)))
}

// body is what analytics-go would post.
func body(now time.Time) []byte {
	at := now.UTC().Format(event.TimeFormat)
	type object = map[string]any
	data, err := json.Marshal(object{
		"messageId": uuid.NewString(), "sentAt": at,
		"batch": []object{{
			"type": "track", "event": "Spillway Canary", "anonymousId": WriteKey, "messageId": WriteKey + "-" + uuid.NewString(),
			"timestamp": at,
		}},
		"context": object{"library": object{"name": WriteKey, "version": "1"}},
	})
	if err != nil {
		panic(err) // strings only
	}
	return data
}
