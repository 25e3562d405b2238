// Package outcomes follows what happens to each event in a running `spillway up`.
package outcomes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/spillwayhq/spillway/infra/local"
)

// A Query selects events. Empty fields select all.
type Query struct {
	Event, User, Outcome string
	Payload              bool // with the events themselves
}

// Follow calls show for each outcome of the pipeline at an endpoint until ctx ends. The end of the
// pipeline is an error. raw is the outcome as the pipeline wrote it.
func Follow(ctx context.Context, endpoint *url.URL, q Query, show func(o *local.Outcome, raw []byte)) error {
	query := url.Values{"event": {q.Event}, "user": {q.User}, "outcome": {q.Outcome},
		"payload": {strconv.FormatBool(q.Payload)}}
	address := url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host, Path: local.OutcomesPath, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is `spillway up` running? "+
			"If it has another port, give the --queue-url that it prints", endpoint.Host)
	case err != nil:
		return fmt.Errorf("follow the pipeline at %s: %w", endpoint.Host, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s: %s", endpoint.Host, strings.TrimSpace(string(reason)))
	default:
		return fmt.Errorf("%s answers %s at %s: is it a `spillway up` of this version?", endpoint.Host, resp.Status,
			local.OutcomesPath)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var raw json.RawMessage
		var o local.Outcome
		if err := lines.Decode(&raw); err != nil {
			return fmt.Errorf("the pipeline at %s has ended", endpoint.Host)
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return fmt.Errorf("read an outcome from %s: %w", endpoint.Host, err)
		}
		show(&o, raw)
	}
}
