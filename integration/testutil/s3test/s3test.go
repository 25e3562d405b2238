// Package s3test is S3 as far as a status site and an archive need it: objects in buckets, listed,
// read, written and deleted under a condition, with faults that a test can script. Unlike moto it
// decides between two writers at the same moment.
package s3test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Object is what a bucket holds.
type Object struct {
	Data   []byte
	Header http.Header // Content-Type, Cache-Control and metadata, as they were written
}

// A Server is all buckets, by paths like /BUCKET/KEY. It is an http.Handler and safe for concurrent
// use.
type Server struct {
	mu       sync.Mutex
	objects  map[string]Object
	versions map[string][]version // by path, of the buckets that keep them, the oldest first
	requests int
	// fault is asked before and after each request: see Fail.
	fault Fault
}

// A Fault answers a request in the place of S3 and returns true, or returns false. done: S3 has
// carried the request out, and its answer is lost if the fault answers.
type Fault func(w http.ResponseWriter, r *http.Request, done bool) bool

// A version is what an object was at one time. Its ID is that of its position, like v3.
type version struct {
	data    []byte
	deleted bool // it is a delete marker
}

// versioned is what the names of buckets begin with that keep versions.
const versioned = "versioned-"

// New returns a server without objects. Every bucket exists, and those whose names begin with
// versioned- keep the versions of their objects.
func New() *Server { return &Server{objects: map[string]Object{}, versions: map[string][]version{}} }

// keep keeps a version, where the bucket does. It is called with mu held.
func (s *Server) keep(path string, v version) {
	if strings.HasPrefix(path, "/"+versioned) {
		s.versions[path] = append(s.versions[path], v)
	}
}

// Delete deletes an object.
func (s *Server) Delete(bucket, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, "/"+bucket+"/"+key)
	s.keep("/"+bucket+"/"+key, version{deleted: true})
}

// Fail replaces the fault; nil: there is none.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Status is a fault that answers requests of a method to paths that contain a text.
func Status(code int, s3Code, method, path string) Fault {
	return func(w http.ResponseWriter, r *http.Request, done bool) bool {
		if done || r.Method != method && method != "" || !strings.Contains(r.URL.Path, path) {
			return false
		}
		Refuse(w, code, s3Code)
		return true
	}
}

// Refuse answers with an error of S3.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>because of the test</Message></Error>`, code)
}

// Objects are the objects of a bucket by key.
func (s *Server) Objects(bucket string) map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]Object{}
	for path, o := range s.objects {
		if key, ok := strings.CutPrefix(path, "/"+bucket+"/"); ok {
			found[key] = o
		}
	}
	return found
}

// Set writes an object.
func (s *Server) Set(bucket, key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects["/"+bucket+"/"+key] = Object{Data: data}
	s.keep("/"+bucket+"/"+key, version{data: data})
}

// Requests is how many requests there were.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r, false) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != max(0, r.ContentLength) {
		Refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") ||
		r.Header.Get("X-Amz-Content-Sha256") == "" {
		Refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	status, code, o := s.carryOut(r, body)
	w.Header().Set("Etag", etag(o.Data)) // also of an answer that a fault cuts off
	if fault != nil && fault(w, r, true) {
		return
	}
	if code != "" {
		maps.Copy(w.Header(), o.Header)
		Refuse(w, status, code)
		return
	}
	if r.URL.Query().Has("versions") {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(s.listVersions(r.URL.Path, r.URL.Query()))
		return
	}
	if r.URL.Query().Get("list-type") == "2" {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(s.list(r.URL.Path, r.URL.Query()))
		return
	}
	switch r.Method {
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		maps.Copy(w.Header(), o.Header)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.Data))
	}
}

// Do answers a request without a socket, as an HTTP client of the AWS SDK does, so that time in a
// test is virtual.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil { // it took too long
		return nil, err
	}
	return w.Result(), nil
}

// carryOut returns the object that was read or written, or the error.
func (s *Server) carryOut(r *http.Request, body []byte) (status int, code string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Query().Has("list-type") || r.URL.Query().Has("versions") {
		return http.StatusOK, "", o
	}
	o, exists := s.objects[r.URL.Path]
	if versions := s.versions[r.URL.Path]; len(versions) > 0 && r.Method == http.MethodGet {
		n := len(versions)
		if id := r.URL.Query().Get("versionId"); id != "" {
			n, _ = strconv.Atoi(strings.TrimPrefix(id, "v"))
			if n < 1 || n > len(versions) {
				return http.StatusNotFound, "NoSuchVersion", o
			}
			o, exists = Object{Data: versions[n-1].data}, true
		}
		o.Header = http.Header{"X-Amz-Version-Id": {fmt.Sprint("v", n)}}
		if versions[n-1].deleted {
			o.Header["X-Amz-Delete-Marker"] = []string{"true"}
			exists = false
		}
	}
	match := r.Header.Get("If-Match")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case !exists:
			return http.StatusNotFound, "NoSuchKey", o
		case match != "" && match != etag(o.Data):
			return http.StatusPreconditionFailed, "PreconditionFailed", o
		}
	case http.MethodDelete:
		switch {
		case match != "" && !exists:
			return http.StatusNotFound, "NoSuchKey", o
		case match != "" && match != etag(o.Data):
			return http.StatusPreconditionFailed, "PreconditionFailed", o
		}
		delete(s.objects, r.URL.Path)
		s.keep(r.URL.Path, version{deleted: true})
	case http.MethodPut:
		switch {
		case match != "" && !exists:
			return http.StatusNotFound, "NoSuchKey", o
		case match != "" && match != etag(o.Data), r.Header.Get("If-None-Match") == "*" && exists:
			return http.StatusPreconditionFailed, "PreconditionFailed", o
		}
		o = Object{Data: body, Header: http.Header{}}
		for key, value := range r.Header {
			if key == "Content-Type" || key == "Cache-Control" || strings.HasPrefix(key, "X-Amz-Meta-") {
				o.Header[key] = value
			}
		}
		s.objects[r.URL.Path] = o
		s.keep(r.URL.Path, version{data: body})
	default:
		return http.StatusMethodNotAllowed, "MethodNotAllowed", o
	}
	return http.StatusOK, "", o
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// pageSize is how many objects a list has at most.
const pageSize = 1000

// list answers ListObjectsV2. A continuation token is the last key of the page before.
func (s *Server) list(path string, query url.Values) []byte {
	type object struct {
		Key, ETag string
		Size      int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		Contents              []object
		NextContinuationToken string `xml:",omitempty"`
	}
	objects := s.Objects(strings.Trim(path, "/"))
	after := max(query.Get("start-after"), query.Get("continuation-token"))
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(key, query.Get("prefix")) || key <= after {
			continue
		}
		if len(result.Contents) == pageSize {
			result.IsTruncated = true
			result.NextContinuationToken, _ = url.QueryUnescape(result.Contents[pageSize-1].Key)
			break
		}
		result.Contents = append(result.Contents, object{strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"),
			etag(objects[key].Data), len(objects[key].Data)})
	}
	body, _ := xml.Marshal(result) // texts and numbers: it can't fail
	return body
}

// listVersions answers ListObjectVersions for the objects after a marker, those of an object with the
// newest first.
func (s *Server) listVersions(path string, query url.Values) []byte {
	type entry struct{ Key, VersionId string } //nolint:revive // as S3 calls it
	var result struct {
		XMLName               xml.Name `xml:"ListVersionsResult"`
		Version, DeleteMarker []entry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket := "/" + strings.Trim(path, "/") + "/"
	for _, path := range slices.Sorted(maps.Keys(s.versions)) {
		key, ok := strings.CutPrefix(path, bucket)
		if !ok || !strings.HasPrefix(key, query.Get("prefix")) || key < query.Get("key-marker") {
			continue
		}
		after := len(s.versions[path])
		if key == query.Get("key-marker") {
			after, _ = strconv.Atoi(strings.TrimPrefix(query.Get("version-id-marker"), "v"))
			after--
		}
		for n := after; n > 0; n-- {
			e := entry{key, fmt.Sprint("v", n)}
			if s.versions[path][n-1].deleted {
				result.DeleteMarker = append(result.DeleteMarker, e)
			} else {
				result.Version = append(result.Version, e)
			}
		}
	}
	body, _ := xml.Marshal(result) // texts: it can't fail
	return body
}
