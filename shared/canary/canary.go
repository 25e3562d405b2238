// Package canary sends a synthetic event through the pipeline every minute, and tracks whether the
// events are delivered.
//
// Other metrics count the events that pass. When none pass, it is unclear whether there is no
// traffic, the ingest endpoint is down, a function can't start, or monitoring is broken. So every
// minute an event takes the path of a customer's: it is posted to the public ingest endpoint as a
// Segment SDK does, and goes through the queue to the deliver function, which counts it by its
// write key. An alarm watches that count.
//
// The write key decides how far the canary goes:
//
//   - One that begins with [WriteKey] belongs to no Segment source. The event ends where Segment
//     would be called and never reaches it: the canary checks the pipeline alone, needs no source,
//     and continues while Segment is down, for which there are other alarms.
//   - Any other is that of a Segment source made for the canary, and the event is sent there: the
//     canary checks Segment too, and is missing while Segment is down.
//
// To make a key of the first kind secret, so that nobody else can send such events, append
// something to it: spillway-canary-4f1c….
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
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
)

const (
	// WriteKey is the default write key. Segment's keys have no hyphen, so no source has it.
	WriteKey = "spillway-canary"
	// Interval is how often an event is sent.
	Interval = time.Minute
	// MissingAfter is the time without a delivered canary after which it is missing: three
	// intervals, because a deployment may lose or delay one.
	MissingAfter = 3 * Interval
	// Timeout bounds the request to the ingest endpoint: Segment's SDKs wait as long.
	Timeout = 10 * time.Second
)

// UnavailableMetric is 1 in a minute whose event was not accepted, unless because of too many
// requests, and otherwise 0. It tells Route 53 whether the region can take traffic.
const UnavailableMetric = "IngestUnavailable"

// EndsBeforeSegment reports whether canaries with this write key end in the deliver function and
// are not sent to Segment.
func EndsBeforeSegment(writeKey string) bool { return strings.HasPrefix(writeKey, WriteKey) }

// Sent reports whether an event, as Segment would get it, is one that a Canary sends. Only these may
// be dropped to try the alarms, whatever else has their write key.
func Sent(event []byte) bool { return bytes.Contains(event, []byte(`"messageId":"`+WriteKey+`-`)) }

// Config is the configuration of a Canary. URL and WriteKey are required.
type Config struct {
	URL       string            // of the ingest endpoint: scheme and host, and optionally a path before /v1
	WriteKey  string            // see the package comment
	Transport http.RoundTripper // nil: http.DefaultTransport
	// Dial is the host or host:port that is connected to, whatever the name in URL leads to; see
	// [Dialing]. Empty: DNS says where URL leads. It excludes Transport.
	Dial string
}

// A Canary sends canary events. It is safe for concurrent use.
type Canary struct {
	url, writeKey string
	client        *http.Client
}

// New validates the configuration and returns a Canary. Its error does not quote the write key.
func New(c Config) (*Canary, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, fmt.Errorf("the canary's URL must be the one that SDKs use, like https://events.example.com, is %q",
			c.URL)
	}
	if !event.ValidWriteKey(c.WriteKey) {
		return nil, fmt.Errorf("the canary's write key must be %s, or that of a Segment source for the canary", WriteKey)
	}
	if c.Dial != "" {
		if c.Transport != nil {
			return nil, errors.New("the canary's transport can't be given together with where to connect to")
		}
		if c.Transport, err = Dialing(c.Dial); err != nil {
			return nil, err
		}
	}
	return &Canary{
		url: strings.TrimRight(c.URL, "/") + "/v1/batch", writeKey: c.WriteKey,
		client: &http.Client{
			Transport: c.Transport, Timeout: Timeout,
			// A redirect leads elsewhere: the 200 of a login page would not mean that the event was
			// accepted.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// A Result is the ingest endpoint's answer to one event.
type Result struct {
	Minute  time.Time     // of the schedule, for which the event was sent
	Latency time.Duration // until the answer, or until the timeout
	Status  int           // of the answer; 0: there was none
	Code    string        // of a refusal by the ingest endpoint, for programs; empty: there is none
	Err     error         // why the event was not accepted; nil: it was
}

// Metrics returns the Result as metrics of the schedule's minute. CanaryAccepted is 0 for an event
// that was not accepted, so that an alarm tells a failure from silence; it then has no latency.
func (r *Result) Metrics() []emf.Metric {
	gauge := func(name string, is bool) emf.Metric {
		m := emf.Metric{Name: name, Unit: emf.Count, Values: []float64{0}, At: r.Minute}
		if is {
			m.Values[0] = 1
		}
		return m
	}
	all := []emf.Metric{gauge("CanaryAccepted", r.Err == nil), gauge(UnavailableMetric, r.unavailable())}
	if r.Err != nil {
		return all
	}
	latency := float64(r.Latency) / float64(time.Millisecond)
	return append(all, emf.Metric{Name: "CanaryAcceptLatency", Unit: emf.Milliseconds, Values: []float64{latency},
		At: r.Minute})
}

// unavailable reports whether the event was not accepted for a reason that is the region's own. A
// flood is none: it would follow to the next region, and take that down too.
func (r *Result) unavailable() bool {
	flood := r.Status == http.StatusTooManyRequests && (r.Code == "" || slices.Contains(floodCodes[:], r.Code))
	return r.Err != nil && !flood
}

// floodCodes are the codes of ingest's answers 429 for too many requests. The gateway's own answer
// 429 has no code.
var floodCodes = [...]string{"overloaded", "quota_exceeded"}

// Send posts one event and waits for the answer. The event's timestamp is the minute of the
// schedule, so that accepted and delivered canaries are counted in the same minute, however late
// they come. It does not retry, because a retry would conceal that the ingest endpoint fails. The
// Result's error does not quote the write key.
func (c *Canary) Send(ctx context.Context, minute time.Time) Result {
	start := time.Now()
	status, code, err := c.post(ctx, start, minute)
	return Result{Minute: minute, Latency: time.Since(start), Status: status, Code: code, Err: err}
}

func (c *Canary) post(ctx context.Context, now, minute time.Time) (status int, code string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body(now, minute)))
	if err != nil {
		return 0, "", fmt.Errorf("make the canary's request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "spillway-canary")
	request.SetBasicAuth(c.writeKey, "")
	response, err := c.client.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("send the canary: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return response.StatusCode, "", fmt.Errorf("read the ingest endpoint's answer to the canary: %w", err)
	}
	var said struct {
		Success bool
		Code    string
	}
	_ = json.Unmarshal(answer, &said) // other servers do not answer JSON
	switch {
	case response.StatusCode == http.StatusOK && said.Success:
		return response.StatusCode, "", nil
	case response.StatusCode == http.StatusOK:
		return response.StatusCode, "",
			errors.New("something that is not the ingest endpoint answered the canary 200: check its URL")
	case said.Code == "invalid_write_key":
		return response.StatusCode, said.Code,
			fmt.Errorf("the ingest endpoint refused the canary (%d %s): give both the same canary write key",
				response.StatusCode, said.Code)
	}
	return response.StatusCode, said.Code,
		fmt.Errorf("the ingest endpoint refused the canary: %s",
			strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", said.Code)))
}

// body returns a request as analytics-go would write it.
func body(now, minute time.Time) []byte {
	sent, at := now.UTC().Format(event.TimeFormat), minute.UTC().Format(event.TimeFormat)
	type object = map[string]any
	data, err := json.Marshal(object{
		"messageId": uuid.NewString(), "sentAt": sent,
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
