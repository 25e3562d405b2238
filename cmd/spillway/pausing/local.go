package pausing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/infra/local"
)

// Local is a running `spillway up`, by the URL of its events queue.
type Local struct{ QueueURL string }

// Pause implements Pipeline.
func (l Local) Pause(ctx context.Context, o Order) (Outcome, error) {
	return l.post(ctx, local.PausePath, o)
}

// Resume implements Pipeline.
func (l Local) Resume(ctx context.Context, o Order) (Outcome, error) {
	return l.post(ctx, local.ResumePath, o)
}

func (l Local) post(ctx context.Context, path string, o Order) (Outcome, error) {
	endpoint, err := queues.Endpoint(l.QueueURL)
	if err != nil {
		return Outcome{}, err
	}
	body, err := json.Marshal(local.Switch{Key: o.Key, By: person(), Reason: o.Reason})
	if err != nil {
		return Outcome{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.JoinPath(path).String(),
		bytes.NewReader(body))
	if err != nil {
		return Outcome{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return Outcome{}, queues.Explain(err, l.QueueURL)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return Outcome{}, fmt.Errorf("read the answer of %s: %w", endpoint, err)
	}
	var done local.Switched
	switch {
	case answer.StatusCode == http.StatusBadRequest && answer.Header.Get("Content-Type") == "text/plain; charset=utf-8",
		answer.StatusCode == http.StatusInternalServerError:
		return Outcome{}, errors.New(strings.TrimSpace(string(said)))
	case answer.StatusCode != http.StatusOK || json.Unmarshal(said, &done) != nil:
		return Outcome{}, fmt.Errorf("%s answers %d: is it a `spillway up` of this version? (a pipeline on AWS is found by "+
			"--name)", endpoint, answer.StatusCode)
	}
	return Outcome{Mark: done.Mark, Already: done.Already}, nil
}

// person is who runs this program, as user@host.
func person() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
