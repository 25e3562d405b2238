package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/s3"
)

const bucket, key = "versioned-keys", "team/write keys.json"

// open returns a source of the object in a server.
func open(server *s3test.Server) reload.Source {
	c := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://s3.local"), HTTPClient: server,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	return s3.Source(s3.Open(c, bucket), key)
}

func document(writeKey string) []byte {
	return fmt.Appendf(nil, `{"writeKeys":[{"name":"web","writeKey":%q}]}`, writeKey)
}

func TestAnObjectIsSentAgainOnlyWhenItHasChanged(t *testing.T) {
	server := s3test.New()
	source := open(server)
	if _, err := source.Read(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "s3://versioned-keys/team/write keys.json") ||
		!strings.Contains(err.Error(), "NoSuchKey") {
		t.Errorf("an object that does not exist: %v", err)
	}
	server.Set(bucket, key, []byte("one"))
	sent := 0
	server.Fail(func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if done && r.Header.Get("If-None-Match") != w.Header().Get("Etag") {
			sent++
		}
		return false
	})
	for i, want := range []string{"one", "one", "one", "two", "two"} {
		if i == 3 {
			server.Set(bucket, key, []byte("two"))
		}
		got, err := source.Read(t.Context())
		if err != nil || string(got.Data) != want || got.Version == "" {
			t.Errorf("%q, version %s, %v", got.Data, got.Version, err)
		}
	}
	if sent != 2 {
		t.Errorf("the object was sent %d times", sent)
	}
	server.Set(bucket, key, []byte(" "))
	if got, err := source.Read(t.Context()); err == nil || got.Version != "v3" {
		t.Errorf("an empty object: version %s, %v", got.Version, err)
	}
}

func TestTheVersionBeforeAnotherIsReadAndDeletionsAreLeftOut(t *testing.T) {
	server := s3test.New()
	source := open(server)
	server.Set(bucket, key+".old", []byte("another object")) // after it in the list of versions
	server.Set(bucket, key, []byte("one"))
	server.Delete(bucket, key)
	server.Set(bucket, key, []byte("three"))
	server.Set(bucket, key, []byte("four"))
	for version, want := range map[string]string{"v4": "v3 three", "v3": "v1 one"} {
		if got, err := source.Before(t.Context(), version); err != nil || got.Version+" "+string(got.Data) != want {
			t.Errorf("before %s is %s %q, want %s (%v)", version, got.Version, got.Data, want, err)
		}
	}
	if _, err := source.Before(t.Context(), "v1"); !errors.Is(err, reload.ErrFirst) {
		t.Errorf("before the first: %v", err)
	}
	for name, c := range map[string]struct {
		fault s3test.Fault
		never bool
	}{
		"a version may not be read": {s3test.Status(http.StatusForbidden, "AccessDenied", "GET", key), true},
		"the list may not be read":  {s3test.Status(http.StatusForbidden, "AccessDenied", "GET", "/"), false},
	} {
		server.Fail(c.fault)
		if _, err := source.Before(t.Context(), "v4"); err == nil || errors.Is(err, reload.ErrUnreadable) != c.never {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// As with SSM, a typing error in the newest set must close a new environment to nobody.
func TestASetInAnObjectIsTheLastGoodVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		for _, data := range [][]byte{document("older"), document("good"), []byte(`{"writeKeys":[{"name":"web",}]}`)} {
			server.Set(bucket, key, data)
		}
		var log bytes.Buffer
		set := writekeys.New(slog.New(slog.NewTextHandler(&log, nil)), open(server))
		set.Values().Refresh(t.Context())
		if _, ok := set.Lookup("good"); !ok || set.Failure() == nil || !strings.Contains(log.String(), "version=v2") {
			t.Errorf("the set is %v, %v:\n%s", set.List(), set.Failure(), &log)
		}
		server.Set(bucket, key, document("repaired"))
		time.Sleep(reload.Interval * 11 / 10)
		set.Values().Refresh(t.Context())
		if _, ok := set.Lookup("repaired"); !ok || set.Failure() != nil {
			t.Errorf("after the repair the set is %v, %v", set.List(), set.Failure())
		}
		server.Delete(bucket, key) // the set in use stays
		time.Sleep(reload.Interval * 11 / 10)
		set.Values().Refresh(t.Context())
		if _, ok := set.Lookup("repaired"); !ok || set.Failure() == nil {
			t.Errorf("after a deletion the set is %v, %v", set.List(), set.Failure())
		}
		later := writekeys.New(slog.New(slog.DiscardHandler), open(server))
		later.Values().Refresh(t.Context())
		if list := later.List(); len(list) != 0 || later.Failure() == nil {
			t.Errorf("a program that starts after the deletion has the set %v, %v", list, later.Failure())
		}
	})
}

func TestTheAddressOfAnObjectIsChecked(t *testing.T) {
	for uri, want := range map[string]string{"s3://keys/a/b.json": "keys a/b.json", "s3://my.keys-1/a": "my.keys-1 a"} {
		if b, k, err := s3.ParseURI(uri); err != nil || b+" "+k != want {
			t.Errorf("%s is %s %s, %v", uri, b, k, err)
		}
	}
	for _, uri := range []string{"", "keys", "s3://", "s3://keys", "s3://keys/", "s3://keys/a/", "https://keys/a",
		"s3://ke/a",
		"s3://Keys/a", "s3://-keys/a", "s3://keys-/a", "s3:///a", "s3://" + strings.Repeat("k", 64) + "/a",
		"s3://keys/" + strings.Repeat("k", 1025)} {
		if _, _, err := s3.ParseURI(uri); err == nil || !strings.Contains(err.Error(), "like s3://") {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
