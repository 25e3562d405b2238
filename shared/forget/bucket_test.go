package forget

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/archive/s3store"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

// toBucket moves the world's archive into a bucket, whose objects Firehose has put there.
func (w *world) toBucket(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(s3test.New())
	t.Cleanup(server.Close)
	c := aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}
	for name, content := range w.contents() {
		a, err := signed.S3(c, "bucket").Do(t.Context(), signed.Request{Method: http.MethodPut, Path: s3.Path(name), Body: content})
		if err != nil || a.Status != http.StatusOK {
			t.Fatal(a.Status, err)
		}
	}
	w.store = s3store.Open(c, "bucket")
}

func TestForgettingInABucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	for range 5 {
		w.put(w.frames())
	}
	w.toBucket(t)
	before := w.contents()
	var list bytes.Buffer
	var both [2]Result
	errs := make(chan error, len(both))
	for i := range both { // two people at the same time
		var mine bytes.Buffer
		go func() {
			var err error
			both[i], err = w.forget(t.Context(), w.store, &mine, nil)
			errs <- err
		}()
	}
	for range both {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	w.check(before, true)
	r, err := w.forget(t.Context(), w.store, &list, nil)
	if err != nil || r.Archive.Events != 0 || list.Len() > 0 || both[0].Archive.Events+both[1].Archive.Events == 0 {
		t.Errorf("run again: %+v, %v, after %+v", r.Archive, err, both)
	}
}
