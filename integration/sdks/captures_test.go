package sdks

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

// capture is a file of events/http: one request as an SDK writes it, and what must arrive.
type capture struct {
	SDK     string            `json:"sdk"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Gzip    bool              `json:"gzip"`    // the body is sent compressed
	Chunked bool              `json:"chunked"` // without Content-Length
	Body    json.RawMessage   `json:"body"`    // sent without the white space that makes it readable
	Expect  struct {
		WriteKey  string          `json:"writeKey"`
		Origin    string          `json:"origin"`    // which decides the path to Segment: server or client
		IP        bool            `json:"ip"`        // the client's address is added
		UserAgent bool            `json:"userAgent"` // and the header of that name
		Context   json.RawMessage `json:"context"`   // the batch's own
		Events    []object        `json:"events"`    // where the body does not contain them as JSON
	} `json:"expect"`
}

// captured reads the captures of SDKs, without those of API Gateway payloads.
func captured(t *testing.T) map[string]capture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "http", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]capture{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if strings.HasPrefix(name, "http-api-") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c capture
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[name] = c
	}
	return all
}

// send makes the request that the file describes.
func (c *capture) send(t *testing.T, host string) (status int, header http.Header, answer []byte) {
	t.Helper()
	var body bytes.Buffer
	if len(c.Body) > 0 {
		if err := json.Compact(&body, c.Body); err != nil {
			t.Fatal(err)
		}
	}
	if c.Gzip {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(body.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		body = zipped
	}
	r, err := http.NewRequestWithContext(t.Context(), c.Method, host+c.Path, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["User-Agent"] = nil // Go's own is not sent where the SDK sends none
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	if c.Chunked {
		r.ContentLength = -1
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

// events returns the events that must arrive and the sentAt of their batch.
func (c *capture) events(t *testing.T) ([]object, any) {
	t.Helper()
	if c.Expect.Events != nil {
		return c.Expect.Events, nil
	}
	return events(t, c.Body)
}

// kind is the type that the path names.
func (c *capture) kind() string {
	kind, _, _ := strings.Cut(path.Base(c.Path), "?")
	return kind
}

func TestCapturedRequestsOfEachSDKArriveWithAllFields(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	all := captured(t)
	if len(all) < 13 {
		t.Fatalf("only %d captures", len(all))
	}
	d := deploy(t, setup{})
	total := 0
	requests := map[string]request{}
	for name, c := range all {
		before := len(d.requestsSoFar())
		code, header, answer := c.send(t, d.URL)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.SDK, code, answer)
		}
		if kind := header.Get("Content-Type"); c.Method == http.MethodGet {
			if kind != "image/gif" || !bytes.HasPrefix(answer, []byte("GIF89a")) {
				t.Errorf("%s: the pixel is %s %q", c.SDK, kind, answer)
			}
		} else if string(bytes.TrimSpace(answer)) != `{"success":true}` {
			t.Errorf("%s: the answer is %s", c.SDK, answer)
		}
		requests[name] = d.requestsSoFar()[before]
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			sent, sentAt := c.events(t)
			total += len(sent)
			add := enriched{kind: c.kind()}
			if c.Expect.IP {
				add.ip = "127.0.0.1"
			}
			if c.Expect.UserAgent {
				add.userAgent = c.Headers["User-Agent"]
			}
			for _, e := range sent {
				var got segmentd.Received
				d.Await(t, "the event of "+name, func() (ok bool) { got, ok = d.find(t, e); return ok })
				assertIntact(t, requests[name], e, sentAt, got, add)
				origin, ok := event.ParseOrigin(c.Expect.Origin)
				if !ok || got.WriteKey != c.Expect.WriteKey || got.Path != segment.Path(origin) {
					t.Errorf("it arrived under %q at %s, want %q and %s", got.WriteKey, got.Path, c.Expect.WriteKey,
						segment.Path(origin))
				}
				if c.Expect.Context != nil {
					assertHas(t, decode(t, got.Merged())["context"].(object), decode(t, c.Expect.Context))
				}
			}
		})
	}
	if arrived := len(d.All()); arrived != total {
		t.Errorf("%d events arrived, %d were sent", arrived, total)
	}
}

// assertHas checks that the event's context contains the batch's.
func assertHas(t *testing.T, context, want object) {
	t.Helper()
	for name, value := range want {
		for _, difference := range differences(name, value, context[name]) {
			t.Errorf("of the batch's context, %s", difference)
		}
	}
}

// find returns a sent event as it arrived. It compares the messageId, or the event's name if it was
// sent without one.
func (d *deployment) find(t *testing.T, sent object) (arrived segmentd.Received, ok bool) {
	t.Helper()
	for _, e := range d.All() {
		if id(sent) != "" && e.MessageID == id(sent) {
			return e, true
		}
		if id(sent) == "" && decode(t, e.Raw)["event"] == sent["event"] && len(e.MessageID) > 30 {
			return e, true
		}
	}
	return segmentd.Received{}, false
}

func TestPixelCapturesContainTheExpectedEvent(t *testing.T) {
	t.Parallel()
	for name, c := range captured(t) {
		if c.Method != http.MethodGet {
			continue
		}
		u, err := url.Parse(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := base64.RawStdEncoding.DecodeString(u.Query().Get("data"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := clone(t, c.Expect.Events[0])
		want["writeKey"] = c.Expect.WriteKey
		delete(want, "type")
		if all := differences("", want, decode(t, data)); len(all) > 0 {
			t.Errorf("%s: %v", name, all)
		}
	}
}
