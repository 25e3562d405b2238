package s3store

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/storetest"
)

const bucket = "shop-status-123456789012-eu-west-1"

func config(client aws.HTTPClient) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: client, BaseEndpoint: aws.String("http://s3.test"),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}
}

func TestABucketIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (one, other status.Store) {
		server := httptest.NewServer(s3test.New())
		t.Cleanup(server.Close)
		c := config(server.Client())
		c.BaseEndpoint = aws.String(server.URL)
		return Open(c, "eu-west-1", bucket, "site"), Open(c, "eu-west-1", bucket, "site")
	}, true)
}

// moto takes If-Match as S3 does, but not of two requests at the same moment.
func TestABucketOfMotoIsAStore(t *testing.T) {
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 3 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	url, _ := mototest.Start(t, filepath.Join("..", "..", ".."))
	c, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(t *testing.T) (one, other status.Store) {
		name := strings.ToLower(filepath.Base(t.TempDir())) + "-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r
			}
			return '-'
		}, strings.ToLower(t.Name()))
		name = name[:min(len(name), 60)] + "x"
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		return Open(c, "eu-west-1", name, "site"), Open(c, "eu-west-1", name, "site")
	}, false)
}

func TestAnObjectHasItsTypeAndHowLongItMayBeKept(t *testing.T) {
	server := s3test.New()
	s := Open(config(server), "eu-west-1", bucket, "site")
	if err := errors.Join(s.Write(t.Context(), "status.json", []byte("{}"), ""),
		s.Put(t.Context(), "index.html", "text/html; charset=utf-8", []byte("<p>"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{"status.json": {"application/json", "public, max-age=30"},
		"index.html": {"text/html; charset=utf-8", "public, max-age=30"}} {
		h := server.Objects(bucket)["site/"+name].Header
		if h.Get("Content-Type") != want[0] || h.Get("Cache-Control") != want[1] {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestARequestIsSignedForTheBucketsOwnRegion(t *testing.T) {
	var got *http.Request
	server := s3test.New()
	server.Fail(func(_ http.ResponseWriter, r *http.Request, _ bool) bool { got = r; return true })
	if _, _, err := Open(config(server), "eu-west-1", bucket, "site").Read(t.Context(), "status.json"); err != nil {
		t.Fatal(err)
	}
	if signature := got.Header.Get("Authorization"); !strings.Contains(signature, "/eu-west-1/s3/aws4_request") ||
		!strings.Contains(signature, "x-amz-content-sha256") || got.URL.Path != "/"+bucket+"/site/status.json" {
		t.Errorf("%s with %s", got.URL, signature)
	}
}

// try writes an object, or reads one, while S3 fails, and returns how long that took.
func try(t *testing.T, f s3test.Fault, call func(context.Context, *Store) error) (took time.Duration, requests int,
	err error) {
	t.Helper()
	server := s3test.New()
	server.Set(bucket, "site/status.json", []byte("before"))
	server.Fail(f)
	begun := time.Now()
	err = call(t.Context(), Open(config(server), "eu-west-1", bucket, "site"))
	return time.Since(begun), server.Requests(), err
}

func writeOver(ctx context.Context, s *Store) error {
	return s.Write(ctx, "status.json", []byte("after"), `"2f44417567bc123bd7c60de8c2a2b444"`)
}

func putPage(ctx context.Context, s *Store) error { return s.Put(ctx, "index.html", "text/html", nil) }

func readIt(ctx context.Context, s *Store) error {
	_, _, err := s.Read(ctx, "status.json")
	return err
}

func TestARefusalIsToldWithWhatToDo(t *testing.T) {
	for _, c := range []struct {
		status   int
		code     string
		requests int // that are made of one call
		want     string
	}{
		{403, "AccessDenied", 1, "s3:ListBucket"},
		{404, "NoSuchBucket", 1, "check the bucket's name and region"},
		{301, "PermanentRedirect", 1, "S3 answered 301 PermanentRedirect"},
		{503, "SlowDown", s3.Attempts, "S3 answered 503 SlowDown: because of the test"},
		{500, "InternalError", s3.Attempts, "S3 answered 500 InternalError"},
		{429, "TooManyRequests", s3.Attempts, "S3 answered 429"},
	} {
		for name, call := range map[string]func(context.Context, *Store) error{"write": writeOver, "write ": putPage,
			"read": readIt} {
			synctest.Test(t, func(t *testing.T) {
				took, requests, err := try(t, s3test.Status(c.status, c.code, "", ""), call)
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					!strings.HasPrefix(err.Error(), strings.TrimSpace(name)+" s3://"+bucket) ||
					requests != c.requests || took > 2*time.Second || errors.Is(err, status.ErrChanged) ||
					errors.Is(err, status.ErrNotFound) {
					t.Errorf("%d %s, %s: %d requests in %v: %v", c.status, c.code, name, requests, took, err)
				}
			})
		}
	}
}

func TestAnotherWriteUnderWayIsAChange(t *testing.T) {
	for _, status := range []int{409, 412} {
		synctest.Test(t, func(t *testing.T) {
			_, _, err := try(t, s3test.Status(status, "ConditionalRequestConflict", http.MethodPut, ""), writeOver)
			isChanged(t, err)
		})
	}
}

func isChanged(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, status.ErrChanged) {
		t.Errorf("got %v, want status.ErrChanged", err)
	}
}

func TestS3ThatFailsOnceIsAskedAgain(t *testing.T) {
	for name, call := range map[string]func(context.Context, *Store) error{"write": writeOver, "put": putPage,
		"read": readIt} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			_, requests, err := try(t, func(w http.ResponseWriter, _ *http.Request, done bool) bool {
				if done || asked.Add(1) > 1 {
					return false
				}
				s3test.Refuse(w, 503, "SlowDown")
				return true
			}, call)
			if err != nil || requests != 2 {
				t.Errorf("%s: %d requests, %v", name, requests, err)
			}
		})
	}
}

func TestS3ThatHangsIsGivenUp(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request, _ bool) bool {
		<-r.Context().Done()
		return true
	}
	for name, call := range map[string]func(context.Context, *Store) error{"write": writeOver, "put": putPage,
		"read": readIt} {
		synctest.Test(t, func(t *testing.T) {
			took, requests, err := try(t, hang, call)
			if !errors.Is(err, context.DeadlineExceeded) || requests != s3.Attempts || took > 17*time.Second {
				t.Errorf("%s: %d requests in %v: %v", name, requests, took, err)
			}
			took, requests, err = try(t, hang, func(ctx context.Context, s *Store) error {
				ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
				return call(ctx, s)
			})
			if !errors.Is(err, context.DeadlineExceeded) || requests != 1 || took > 3*time.Second {
				t.Errorf("%s with 3 s: %d requests in %v: %v", name, requests, took, err)
			}
		})
	}
}

// cutOff ends the connection once after S3 has carried the request out, so that nobody knows.
func cutOff(method string) s3test.Fault {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if !done || r.Method != method || asked.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("<half"))
		panic(http.ErrAbortHandler)
	}
}

func overHTTP(t *testing.T, f s3test.Fault) (*Store, *s3test.Server) {
	t.Helper()
	server := s3test.New()
	server.Set(bucket, "site/status.json", []byte("before"))
	server.Fail(f)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	c := config(listening.Client())
	c.BaseEndpoint = aws.String(listening.URL)
	return Open(c, "eu-west-1", bucket, "site"), server
}

// The second attempt of a write finds the version of the first: without looking closer that would
// be another writer's change, and what was observed would be counted twice.
func TestAWriteWhoseAnswerIsCutOffIsFoundToHaveBeenDone(t *testing.T) {
	t.Parallel()
	s, server := overHTTP(t, cutOff(http.MethodPut))
	if err := writeOver(t.Context(), s); err != nil {
		t.Error(err)
	}
	if got := server.Objects(bucket)["site/status.json"].Data; string(got) != "after" {
		t.Errorf("S3 has %q", got)
	}
}

func TestAWriteThatS3AnswersWith500IsFoundToHaveBeenDone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s, server := overHTTP(t, func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if !done || r.Method != http.MethodPut || asked.Add(1) > 1 {
			return false
		}
		s3test.Refuse(w, http.StatusInternalServerError, "InternalError")
		return true
	})
	if err := writeOver(t.Context(), s); err != nil {
		t.Error(err)
	}
	if got := server.Objects(bucket)["site/status.json"].Data; string(got) != "after" || asked.Load() < 2 {
		t.Errorf("S3 has %q after %d s3.Attempts", got, asked.Load())
	}
}

func TestAWriteWhoseAnswerIsCutOffWhileAnotherWriterWritesIsAChange(t *testing.T) {
	t.Parallel()
	var server *s3test.Server
	cut := cutOff(http.MethodPut)
	s, server := overHTTP(t, func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if done && r.Method == http.MethodPut {
			server.Set(bucket, "site/status.json", []byte("another's"))
		}
		return cut(w, r, done)
	})
	isChanged(t, writeOver(t.Context(), s))
}

func TestAnAnswerThatIsCutOffIsNeverTakenForTheDocument(t *testing.T) {
	t.Parallel()
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		s, _ := overHTTP(t, cutOff(http.MethodGet))
		if data, _, err := s.Read(t.Context(), "status.json"); err != nil || string(data) != "before" {
			t.Errorf("%q, %v", data, err)
		}
	})
	t.Run("each time", func(t *testing.T) {
		t.Parallel()
		s, _ := overHTTP(t, func(w http.ResponseWriter, r *http.Request, done bool) bool {
			return cutOff(r.Method)(w, r, done)
		})
		if data, _, err := s.Read(t.Context(), "status.json"); err == nil || len(data) > 0 {
			t.Errorf("%q, %v", data, err)
		}
	})
}
