package queues

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// patience bounds how long a running `spillway up` may take to answer. It searches for some seconds
// at most, so one that takes longer is stopped.
const patience = 15 * time.Second

// An AnswerError says that something has answered, but not with the JSON that was expected.
type AnswerError struct{ Status string }

func (e *AnswerError) Error() string { return "it answers " + e.Status }

// GetJSON reads into a value what a running `spillway up` answers to a GET, of which it reads so
// many bytes at most. An answer that is not 200 with JSON is an *AnswerError.
func GetJSON(ctx context.Context, url string, most int64, into any) error {
	return getJSON(ctx, patience, url, most, into)
}

func getJSON(ctx context.Context, patience time.Duration, url string, most int64, into any) error {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(patient, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		defer answer.Body.Close()
		err = json.NewDecoder(io.LimitReader(answer.Body, most)).Decode(into)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case patient.Err() != nil:
		return fmt.Errorf("%s has not answered within %v: is that `spillway up` stopped, or the machine overloaded?", url,
			patience)
	case answer == nil:
		return err
	case answer.StatusCode != http.StatusOK || err != nil:
		return &AnswerError{answer.Status}
	}
	return nil
}
