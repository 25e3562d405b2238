package s3store

import (
	"context"
	"encoding/xml"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/signed"
)

// A page is an answer of ListObjectsV2: at most 1,000 objects, in the order of their keys.
type page struct {
	Contents []struct {
		Key, ETag string
		Size      int64
	}
	NextContinuationToken string
}

// list lists the keys that begin with a prefix and come after another one, page by page.
func (s *Store) list(ctx context.Context, prefix, after string) iter.Seq2[page, error] {
	return func(yield func(page, error) bool) {
		// Without the encoding a key may have characters that XML can't.
		query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "encoding-type": {"url"}}
		if after != "" {
			query.Set("start-after", after)
		}
		for {
			p, err := s.listPage(ctx, query)
			if err != nil {
				yield(page{}, s.failed("list", prefix, "s3:ListBucket", err))
				return
			}
			if !yield(p, nil) || p.NextContinuationToken == "" {
				return
			}
			query.Set("continuation-token", p.NextContinuationToken)
		}
	}
}

func (s *Store) listPage(ctx context.Context, query url.Values) (p page, err error) {
	a, _, err := s.send(ctx, signed.Request{Method: http.MethodGet, Path: "/", Query: query})
	if err != nil {
		return p, err
	}
	if err := xml.Unmarshal(a.Body, &p); err != nil {
		return p, fmt.Errorf("read S3's list: %w", err)
	}
	for i := range p.Contents {
		if p.Contents[i].Key, err = url.QueryUnescape(p.Contents[i].Key); err != nil {
			return p, fmt.Errorf("read S3's list: the key %q: %w", p.Contents[i].Key, err)
		}
	}
	return p, nil
}

// Objects lists the objects of some hours: see archive.Store.
func (s *Store) Objects(ctx context.Context, from, to time.Time) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		from, to := from.UTC().Truncate(time.Hour), to.UTC()
		if from.After(to) || from.Year() > 9999 {
			return
		}
		after := ""
		if from.Year() >= 1 {
			after = archive.Prefix + from.Format(archive.HourFormat) + "/" // which is no object itself
		}
		for p, err := range s.list(ctx, archive.Prefix, after) {
			if err != nil {
				yield(archive.Object{}, err)
				return
			}
			for _, c := range p.Contents {
				hour, ok := archive.ParseName(c.Key)
				if !ok || hour.Before(from) { // of somebody else, or a folder that a console has made
					continue
				}
				if hour.After(to) || !yield(archive.Object{Name: c.Key, Hour: hour, Size: c.Size, Version: c.ETag}, nil) {
					return
				}
			}
		}
	}
}

// Files lists files: see archive.Store. What Firehose could not process is among them.
func (s *Store) Files(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for p, err := range s.list(ctx, prefix, "") {
			if err != nil {
				yield("", err)
				return
			}
			for _, c := range p.Contents {
				if archive.CheckFileName(c.Key) == nil && !yield(c.Key, nil) {
					return
				}
			}
		}
	}
}
