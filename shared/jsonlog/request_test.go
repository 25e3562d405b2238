package jsonlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

func invocation(ctx context.Context, id string) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
}

// requests are the ids of a log's lines.
func requests(t *testing.T, out *bytes.Buffer) []string {
	t.Helper()
	var ids []string
	for d := json.NewDecoder(out); d.More(); {
		line := struct {
			ID string `json:"request_id"`
		}{"none"}
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, line.ID)
	}
	return ids
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the lines have the ids %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("line %d has the id %q, want %q", i, got[i], want[i])
		}
	}
}

func TestALineOfAnInvocationHasTheIDOfItsRequest(t *testing.T) {
	var out bytes.Buffer
	logger := New(&out, slog.LevelInfo)
	ctx := invocation(t.Context(), "r-1")
	logger.Info("at the start")
	logger.InfoContext(ctx, "in it", "events", 3)
	logger.With("queue", "q").WarnContext(ctx, "of a part")
	logger.InfoContext(context.WithoutCancel(ctx), "after the deadline")
	logger.InfoContext(invocation(t.Context(), ""), "of an emulator without ids")
	logger.DebugContext(ctx, "below the level")
	expect(t, requests(t, &out), "none", "r-1", "r-1", "r-1", "none")
}

type handler func(context.Context) error

func (h handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) { return nil, h(ctx) }

// aws-lambda-go writes what a handler returned as its error after it has returned.
func TestALineOfPackageLogHasTheIDOfTheInvocationThatItIsAbout(t *testing.T) {
	var out bytes.Buffer
	l := Redirect(&out)
	log.Print("before the first invocation")
	failing := l.Follow(handler(func(context.Context) error { return errors.New("no SQS event") }))
	for _, id := range []string{"r-1", "r-2"} {
		if _, err := failing.Invoke(invocation(t.Context(), id), nil); err == nil {
			t.Error("the handler's error is lost")
		}
		log.Print(`{"errorMessage":"no SQS event","errorType":"errorString"}`)
	}
	expect(t, requests(t, &out), "none", "r-1", "r-2")
}
