package sqs

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens a server, in memory unless o says otherwise, for the test's time.
func open(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir, o.FS = "data", new(store.Mem)
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.store.Failure() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// sdk returns an SDK client straight into s, with dummy credentials.
func sdk(s *Server) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://localhost:9324"),
		HTTPClient:   s.HTTPClient(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
		RetryMaxAttempts: 1,
	})
}

func queue(t testing.TB, s *Server, name string, attributes map[string]string) *Queue {
	t.Helper()
	q, err := s.CreateQueue(name, attributes)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func newEntry(q *Queue, in messageInput) (*entry, int, error) { return in.entry(q) }
