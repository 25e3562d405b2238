package segment

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/shared/event"
)

const (
	// DefaultAttemptTimeout bounds one request. Segment answers in well under a second;
	// analytics-go waits 10 s.
	DefaultAttemptTimeout = 10 * time.Second
	// maxDetail bounds the part of Segment's answer that an Error has, in bytes.
	maxDetail = 1000
	// maxDrain bounds how much of an answer is read so that its connection can be reused; a longer
	// answer costs the connection.
	maxDrain = 256 << 10
	// writeBuffer makes a batch take a handful of writes to the socket; net/http's 4 KB would make
	// it a hundred.
	writeBuffer = 64 << 10
)

// Config configures a [Client].
type Config struct {
	// Endpoint is a URL without a path: EndpointUS when empty, EndpointEU, or any other.
	Endpoint string
	// Gzip compresses requests: to about a fifth of the bytes.
	Gzip bool
	// GzipLevel is how well, from 1, the fastest, to 9; 1 when 0. Package price says which is the
	// cheapest where bytes are paid for.
	GzipLevel int
	// AttemptTimeout bounds one Flush, as its context's deadline does. DefaultAttemptTimeout when
	// 0.
	AttemptTimeout time.Duration
	// Transport sends the requests. When nil, one that reuses up to 128 connections.
	Transport http.RoundTripper
}

// A Client sends batches to Segment. It is safe for concurrent use.
type Client struct {
	endpoint string
	gzip     bool
	level    int
	timeout  time.Duration
	// Not an http.Client: before it asks whether to follow a redirect it opens the body again
	// without ever closing it, and it returns an error for a Location that it can't parse. Here a
	// redirect is an answer: events go nowhere but to the configured endpoint.
	transport http.RoundTripper
	zippers   sync.Pool // of *gzip.Writer
	buffers   sync.Pool // of *bytes.Buffer
}

// NewClient validates the configuration and returns a Client.
func NewClient(c Config) (*Client, error) {
	if c.Endpoint == "" {
		c.Endpoint = EndpointUS
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, fmt.Errorf("the endpoint of Segment must be a URL such as %s (US) or %s (EU), is %q", EndpointUS,
			EndpointEU, c.Endpoint)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("the endpoint of Segment must have no more than a scheme and a host, such as %s://%s, "+
			"is %q", u.Scheme, u.Host, u.Redacted())
	}
	if c.AttemptTimeout < 0 {
		return nil, fmt.Errorf("the timeout of an attempt must be positive, or 0 for the default of %v, is %v",
			DefaultAttemptTimeout, c.AttemptTimeout)
	}
	if c.GzipLevel < 0 || c.GzipLevel > gzip.BestCompression {
		return nil, fmt.Errorf("the level of gzip must be between 1 and %d, or 0 for the fastest, is %d",
			gzip.BestCompression, c.GzipLevel)
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = DefaultAttemptTimeout
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   128,
			IdleConnTimeout:       50 * time.Second, // load balancers close after 60 s
			TLSHandshakeTimeout:   5 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true, // answers are a line
			WriteBufferSize:       writeBuffer,
		}
	}
	return &Client{endpoint: u.Scheme + "://" + u.Host, gzip: c.Gzip, level: cmp.Or(c.GzipLevel, gzip.BestSpeed),
		timeout: c.AttemptTimeout, transport: c.Transport}, nil
}

// An Error says why Segment does not have a batch.
type Error struct {
	Class      Class         // never Delivered
	Status     int           // Segment's HTTP status, 0 without an answer
	RetryAfter time.Duration // as Segment asked for, 0 if it did not
	Detail     string        // the beginning of Segment's answer; may quote an event: not for a log
	Err        error         // the cause when there was no answer
}

func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s: no answer from Segment: %v", e.Class, e.Err)
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: Segment answered %d: %v", e.Class, e.Status, e.Err)
	}
	return fmt.Sprintf("%s: Segment answered %d", e.Class, e.Status)
}

func (e *Error) Unwrap() error { return e.Err }

// Flush sends b in one attempt and returns when Segment has answered: nil when Segment has every
// event, otherwise an [*Error]. Each call has its own sentAt. It takes at most the attempt
// timeout, and never longer than ctx. When it returns, nothing reads b any more.
func (c *Client) Flush(ctx context.Context, b *event.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	req, release, err := c.request(ctx, b)
	if err != nil {
		cancel()
		return &Error{Class: Misconfigured, Err: err}
	}
	// The transport may go on writing a request that was answered early. When it is cancelled, it
	// closes the body, which is what release waits for.
	defer release()
	defer cancel()
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return &Error{Class: Transient, Err: err}
	}
	defer resp.Body.Close()
	class := Classify(resp.StatusCode)
	detail, err := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
	if err == nil {
		_, err = io.CopyN(io.Discard, resp.Body, maxDrain)
		if err == io.EOF {
			err = nil
		}
	}
	if class != Delivered {
		return &Error{
			Class: class, Status: resp.StatusCode, Detail: strings.ToValidUTF8(string(detail), "?"),
			RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		}
	}
	if err != nil {
		// Half an answer may come from something between us and Segment. An event that is sent
		// twice is still one event, by its messageId.
		return &Error{Class: Transient, Status: resp.StatusCode, Err: fmt.Errorf("the answer was cut short: %w", err)}
	}
	return nil
}

// request builds the attempt's request. release waits until the transport has closed every reader
// of the events.
func (c *Client) request(ctx context.Context, b *event.Batch) (req *http.Request, release func(), err error) {
	sentAt := time.Now()
	var readers sync.WaitGroup
	release = readers.Wait
	plain, size := b.NewReader(sentAt)
	open := func() io.Reader { r, _ := b.NewReader(sentAt); return r }
	if c.gzip {
		buf, err := c.compress(plain)
		if err != nil {
			return nil, nil, err
		}
		size = int64(buf.Len())
		open = func() io.Reader { return bytes.NewReader(buf.Bytes()) }
		release = func() { readers.Wait(); c.buffers.Put(buf) }
	}
	// A connection that was closed while idle makes net/http ask for the body a second time.
	getBody := func() (io.ReadCloser, error) {
		readers.Add(1)
		return &countedReader{from: open(), done: readers.Done}, nil
	}
	first, _ := getBody()
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+Path(b.Origin), first)
	if err != nil {
		return nil, nil, fmt.Errorf("build the request: %w", err)
	}
	req.ContentLength = size
	req.GetBody = getBody
	req.Header = http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(b.WriteKey+":"))},
		"Content-Type":  {"application/json"},
		"User-Agent":    {"spillway"},
	}
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, release, nil
}

// compress returns the batch in a buffer of c.buffers. It returns the gzip writer, about 0.7 MB of
// tables, to its pool at once, so that there are as many as cores and not as many as requests under
// way.
func (c *Client) compress(plain io.Reader) (*bytes.Buffer, error) {
	buf, _ := c.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	w, _ := c.zippers.Get().(*gzip.Writer)
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(buf, c.level); err != nil {
			return nil, fmt.Errorf("set up gzip: %w", err)
		}
	}
	defer c.zippers.Put(w)
	w.Reset(buf)
	_, err := io.Copy(w, plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress the batch: %w", err)
	}
	return buf, nil
}

// countedReader is a request body that calls done when its transport has closed it, which every
// http.RoundTripper does. HTTP/2 closes it while another goroutine may still be reading: Close
// waits for that read, and no other follows.
type countedReader struct {
	mu   sync.Mutex
	from io.Reader // nil when closed
	done func()
}

var errBodyClosed = errors.New("read from a closed request body")

func (r *countedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		return 0, errBodyClosed
	}
	return r.from.Read(p)
}

func (r *countedReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from != nil {
		r.from = nil
		r.done()
	}
	return nil
}

// retryAfter reads the header of that name, in seconds or as an HTTP date (RFC 9110, 10.2.3): the
// time from now. It is 0 when the header is absent, invalid or past.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		const most = float64(365 * 24 * 3600)
		if !(seconds > 0) || math.IsInf(seconds, 1) { // "NaN" and "Inf" are numbers to strconv, not to HTTP
			return 0
		}
		return time.Duration(min(seconds, most) * float64(time.Second))
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
