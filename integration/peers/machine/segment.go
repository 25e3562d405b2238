package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// ServeSegment serves the Segment emulator on a free port until ctx ends. It is the subcommand
// `segment`.
func ServeSegment(ctx context.Context, out io.Writer, latency time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the Segment emulator: %w", err)
	}
	fmt.Fprintf(out, "%shttp://%s\n", Listens, l.Addr())
	return segmentd.New(segmentd.Options{Latency: latency}).Serve(ctx, l)
}

// StartSegment starts the Segment emulator as a process.
func StartSegment(ctx context.Context, latency time.Duration) (*Process, error) {
	return Start(ctx, "segment", "--latency="+latency.String())
}

// SegmentStats are what the Segment emulator at a URL has counted.
func SegmentStats(ctx context.Context, url string) (s segmentd.Stats, err error) {
	return s, call(ctx, http.MethodGet, url+"/_segmentd/stats", nil, &s)
}

// ScriptSegment makes the Segment emulator at a URL fail; a script without rules ends that.
func ScriptSegment(ctx context.Context, url string, script segmentd.Script) error {
	return call(ctx, http.MethodPut, url+"/_segmentd/script", script, nil)
}

// call calls a process over HTTP, and decodes its answer unless answer is nil.
func call(ctx context.Context, method, url string, body, answer any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}
