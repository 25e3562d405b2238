package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/integration/testutil/policytest"
	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

const bucket = "spillway-eu-west-1-archive1a2b3c4d"

// config is that of a test server; its own client has connections that no other test closes.
func config(client aws.HTTPClient, endpoint string) aws.Config {
	return aws.Config{Region: "eu-west-1", HTTPClient: client, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}
}

// creator makes objects as Firehose does, which knows nothing of the store.
func creator(c aws.Config, bucket string) func(*testing.T, string, []byte) {
	return func(t *testing.T, name string, content []byte) {
		t.Helper()
		a, err := signed.S3(c, bucket).Do(t.Context(),
			signed.Request{Method: http.MethodPut, Path: s3.Path(name), Body: content})
		if err != nil || a.Status != http.StatusOK {
			t.Fatal(a.Status, err)
		}
	}
}

func TestABucketIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Place {
		server := httptest.NewServer(s3test.New())
		t.Cleanup(server.Close)
		c := config(server.Client(), server.URL)
		return storetest.Place{One: Open(c, bucket), Other: Open(c, bucket), Create: creator(c, bucket), Page: 1000}
	})
}

// moto takes conditions as S3 does, but not of two requests at the same moment.
func TestABucketOfMotoIsAStore(t *testing.T) {
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 10 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	mototest.Start(t, filepath.Join("..", "..", ".."))
	c, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(t *testing.T) storetest.Place {
		if strings.Contains(t.Name(), "of_two_who_replace") {
			t.Skip("moto decides nothing between two requests at the same moment")
		}
		name := "archive-" + uuid.NewString()
		a, err := signed.S3(c, name).Do(t.Context(), signed.Request{Method: http.MethodPut, Path: "/",
			Body: []byte(`<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`)})
		if err != nil || a.Status != http.StatusOK {
			t.Fatal(a.Status, string(a.Body), err)
		}
		return storetest.Place{One: Open(c, name), Other: Open(c, name), Create: creator(c, name), Page: 1000}
	})
}

var object = archive.Object{Name: storetest.Name(storetest.Hour, "x"), Hour: storetest.Hour, Version: `"1"`}

// calls are all calls of a store that ask S3, but those that list.
var calls = map[string]func(context.Context, *Store) error{
	"read": func(ctx context.Context, s *Store) error {
		r, err := s.Open(ctx, object, 0)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			_ = r.Close()
		}
		return err
	},
	"replace": func(ctx context.Context, s *Store) error {
		_, err := s.Replace(ctx, object, strings.NewReader("new"))
		return err
	},
	"write": func(ctx context.Context, s *Store) error { return s.WriteFile(ctx, "replay/a.json", nil) },
	"list": func(ctx context.Context, s *Store) error {
		for _, err := range s.Objects(ctx, storetest.Hour, storetest.Hour) {
			return err
		}
		return nil
	},
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		code, want string
		requests   int
	}{
		{403, "AccessDenied", "your role needs s3:", 1},
		{404, "NoSuchBucket", "check the bucket's name and region", 1},
		{301, "PermanentRedirect", "the bucket is in another region", 1},
		{503, "SlowDown", "S3 answered 503 SlowDown: because of the test", s3.Attempts},
	} {
		for name, call := range calls {
			synctest.Test(t, func(t *testing.T) {
				server := s3test.New()
				server.Fail(s3test.Status(c.status, c.code, "", ""))
				err := call(t.Context(), Open(config(server, "http://s3.test"), bucket))
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), name+" s3://"+bucket) ||
					server.Requests() != c.requests || errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrChanged) {
					t.Errorf("%d %s, %s: %d requests: %v", c.status, c.code, name, server.Requests(), err)
				}
			})
		}
	}
}

func TestS3ThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New()
			server.Fail(func(_ http.ResponseWriter, r *http.Request, _ bool) bool { <-r.Context().Done(); return true })
			begun := time.Now()
			err := call(t.Context(), Open(config(server, "http://s3.test"), bucket))
			if took := time.Since(begun); err == nil || took > 35*time.Second || server.Requests() != s3.Attempts {
				t.Errorf("%s: %v after %v and %d requests", name, err, took, server.Requests())
			}
		})
	}
}

// overHTTP is a store on a server that has an object.
func overHTTP(t *testing.T, content []byte, fault s3test.Fault) (*Store, *s3test.Server) {
	t.Helper()
	server := s3test.New()
	server.Set(bucket, object.Name, content)
	server.Fail(fault)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return Open(config(listening.Client(), listening.URL), bucket), server
}

// cutOff sends only a part of what each of the first answers to GET has.
func cutOff(content []byte, answers int64, part int) s3test.Fault {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if !done || r.Method != http.MethodGet || asked.Add(1) > answers {
			return false
		}
		rest := content
		if r.Header.Get("Range") != "" {
			from := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
			n := 0
			for _, c := range from {
				n = n*10 + int(c-'0')
			}
			rest = content[n:]
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(rest[:min(part, len(rest))])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestAnObjectIsReadWholeThoughConnectionsAreLost(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	s, server := overHTTP(t, content, cutOff(content, 4, 150_000))
	for _, offset := range []int64{0, 7} {
		if got := storetest.Read(t, s, object, offset); got != string(content[offset:]) {
			t.Errorf("from byte %d: %d bytes, want %d", offset, len(got), len(content)-int(offset))
		}
	}
	if n := server.Requests(); n < 6 {
		t.Errorf("%d requests: no connection was lost", n)
	}
}

func TestConnectionsThatBringNothingAreGivenUp(t *testing.T) {
	t.Parallel()
	content := []byte("0123456789")
	s, server := overHTTP(t, content, cutOff(content, 1000, 0))
	r, err := s.Open(t.Context(), object, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err == nil || !strings.HasPrefix(err.Error(), "read s3://") ||
		server.Requests() != s3.Attempts+1 {
		t.Errorf("%d requests: %v", server.Requests(), err)
	}
}

// Otherwise the end of a rewritten object would follow the beginning of the one before.
func TestAnObjectThatIsReplacedWhileItIsReadIsNotMixed(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	s, server := overHTTP(t, content, cutOff(content, 1, 150_000))
	r, err := s.Open(t.Context(), object, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	server.Set(bucket, object.Name, bytes.Repeat([]byte("abcdefghij"), 100_000))
	if data, err := io.ReadAll(r); !errors.Is(err, archive.ErrChanged) || !bytes.HasPrefix(content, data) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// The second attempt finds the version of the first.
func TestAReplaceWhoseAnswerIsLostIsFoundToHaveBeenDone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s, server := overHTTP(t, []byte("before"), func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if !done || r.Method != http.MethodPut || asked.Add(1) > 1 {
			return false
		}
		s3test.Refuse(w, http.StatusInternalServerError, "InternalError")
		return true
	})
	o, err := s.Finish(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Replace(t.Context(), o, strings.NewReader("after"))
	if err != nil || next.Size != 5 || next.Version == o.Version {
		t.Errorf("%+v, %v", next, err)
	}
	if got := string(server.Objects(bucket)[object.Name].Data); got != "after" {
		t.Errorf("S3 has %q", got)
	}
}

func TestNamesOfObjectsMayHaveAnyCharacter(t *testing.T) {
	t.Parallel()
	server := s3test.New()
	name := storetest.Name(storetest.Hour, "a b+c&d=ü%25")
	server.Set(bucket, name, []byte("x"))
	s := Open(config(server, "http://s3.test"), bucket)
	for o, err := range s.Objects(t.Context(), storetest.Hour, storetest.Hour) {
		if err != nil || o.Name != name || storetest.Read(t, s, o, 0) != "x" {
			t.Errorf("%q, %v", o.Name, err)
		}
	}
	if server.Requests() != 2 {
		t.Errorf("%d requests", server.Requests())
	}
}

// What the store asks of S3 is what its permissions allow, and what the documented policy does.
func TestThePermissionsAreThoseThatTheStoreNeeds(t *testing.T) {
	t.Parallel()
	needed := map[string]bool{}
	s, server := overHTTP(t, []byte("1"), func(_ http.ResponseWriter, r *http.Request, _ bool) bool {
		action := map[string]string{http.MethodGet: "s3:GetObject", http.MethodHead: "s3:GetObject",
			http.MethodPut: "s3:PutObject", http.MethodDelete: "s3:DeleteObject"}[r.Method]
		if r.URL.Query().Has("list-type") {
			action = "s3:ListBucket"
		}
		needed[action] = true
		return false
	})
	for name, call := range calls {
		if err := call(t.Context(), s); err != nil && !errors.Is(err, archive.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, err := s.Finish(t.Context(), object)
	if err = errors.Join(err, s.Delete(t.Context(), o), s.DeleteFile(t.Context(), "replay/a.json")); err != nil {
		t.Error(err)
	}
	for name, err := range s.Files(t.Context(), "") {
		t.Errorf("%q, %v", name, err)
	}
	if got, want := slices.Sorted(maps.Keys(needed)), slices.Sorted(slices.Values(Permissions)); !slices.Equal(got, want) {
		t.Errorf("needed are %v, and Permissions are %v", got, want)
	}
	policy := policytest.Actions(t, filepath.Join("..", "..", "..", "docs", "deploy.md"),
		"### Permissions of those who use the archive")
	policy = slices.DeleteFunc(policy, func(a string) bool { return !strings.HasPrefix(a, "s3:") })
	if want := slices.Sorted(slices.Values(Permissions)); !slices.Equal(policy, want) {
		t.Errorf("the documented policy allows %v, needed are %v", policy, want)
	}
	if len(server.Objects(bucket)) != 0 {
		t.Errorf("left are %v", server.Objects(bucket))
	}
}
