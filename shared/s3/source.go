package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/signed"
)

// ParseURI reads the address of an object, s3://BUCKET/KEY.
func ParseURI(uri string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || !IsBucketName(bucket) || key == "" || len(key) > maxKeyBytes || strings.HasSuffix(key, "/") {
		return "", "", fmt.Errorf("must be the address of an object, like s3://my-bucket/write-keys.json, is %q", uri)
	}
	return bucket, key, nil
}

// maxKeyBytes is the longest key that S3 takes.
const maxKeyBytes = 1024

// IsBucketName reports whether S3 takes the name for a bucket (user guide, "Bucket naming rules"), but
// for some prefixes that it reserves.
func IsBucketName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && (c != '-' && c != '.' || i == 0 || i == len(name)-1) {
			return false
		}
	}
	return len(name) >= 3 && len(name) <= 63
}

// versionHeader says which version of an object was read.
const versionHeader = "X-Amz-Version-Id"

// Source returns a source that reads an object, of at most 4 MB, and its earlier versions where the
// bucket keeps them. An object that has not changed is not sent again. Reading needs the permission
// s3:GetObject; earlier versions need s3:GetObjectVersion and s3:ListBucketVersions. An object that
// was deleted is none, whatever versions it had.
func Source(b *Bucket, key string) reload.Source {
	o := &object{bucket: b, key: key}
	return reload.Source{Name: b.URI(key), Read: o.read, Before: o.before}
}

type object struct {
	bucket *Bucket
	key    string

	mu   sync.Mutex
	etag string // of last
	last reload.Content
}

func (o *object) read(ctx context.Context) (reload.Content, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := signed.Request{Method: http.MethodGet, Path: Path(o.key), Header: http.Header{}}
	if o.etag != "" {
		r.Header.Set("If-None-Match", o.etag)
	}
	a, _, err := o.bucket.Send(ctx, r)
	switch {
	case err != nil:
		return reload.Content{}, o.failed("read", err)
	case a.Status == http.StatusNotModified:
		return o.last, nil
	}
	if refusal := Refusal(a); refusal != nil { // if it names a version, that is the marker of a deletion
		return reload.Content{}, o.failed("read", refusal)
	}
	c := reload.Content{Version: versionOf(a)}
	if len(bytes.TrimSpace(a.Body)) == 0 {
		return c, o.failed("read", errEmpty)
	}
	c.Data = a.Body
	o.etag, o.last = a.Header.Get("ETag"), c
	return c, nil
}

var errEmpty = errors.New("it is empty")

// versionOf is the version that an answer names; a bucket that keeps none says null or nothing.
func versionOf(a signed.Answer) string {
	if v := a.Header.Get(versionHeader); v != "null" {
		return v
	}
	return ""
}

func (o *object) failed(what string, err error) error {
	return fmt.Errorf("%s %s: %w", what, o.bucket.URI(o.key), err)
}

// before reads the version that was the object before another. A time in which the object was
// deleted is left out.
func (o *object) before(ctx context.Context, version string) (reload.Content, error) {
	id, err := o.idBefore(ctx, version)
	if err != nil {
		return reload.Content{}, err
	}
	c := reload.Content{Version: id}
	a, _, err := o.bucket.Send(ctx,
		signed.Request{Method: http.MethodGet, Path: Path(o.key), Query: url.Values{"versionId": {id}}})
	if err != nil {
		return c, o.failed("read an earlier version of", err)
	}
	if refusal := Refusal(a); refusal != nil {
		err := o.failed("read an earlier version of", refusal)
		if !MayPass(a.Status) {
			err = fmt.Errorf("%w: %w", reload.ErrUnreadable, err)
		}
		return c, err
	}
	c.Data = a.Body
	return c, nil
}

// idBefore finds the version before one. S3 lists the versions of an object with the newest first.
func (o *object) idBefore(ctx context.Context, version string) (string, error) {
	a, _, err := o.bucket.Send(ctx, signed.Request{Method: http.MethodGet, Path: "/", Query: url.Values{"versions": {""},
		"prefix": {o.key}, "key-marker": {o.key}, "version-id-marker": {version}, "max-keys": {"10"}}})
	if err == nil {
		if refusal := Refusal(a); refusal != nil {
			err = refusal
		}
	}
	if err != nil {
		return "", o.failed("list the versions of", err)
	}
	var page struct {
		Version []struct{ Key, VersionId string } //nolint:revive // as S3 calls it
	}
	if err := xml.Unmarshal(a.Body, &page); err != nil {
		return "", o.failed("list the versions of", err)
	}
	for _, v := range page.Version {
		if v.Key == o.key {
			return v.VersionId, nil
		}
	}
	return "", reload.ErrFirst
}
