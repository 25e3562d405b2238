package firehose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/s3store"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

const stream = "spillway-archive"

// A service is Firehose: it takes records, and writes them to S3 when it is told.
type service struct {
	// answer is asked for each call: with an error code for some of its records, by their data, or
	// for the whole call. nil: all are taken.
	answer func(w http.ResponseWriter, call int, records [][]byte) (codes map[int]string, done bool)

	mu    sync.Mutex
	calls [][][]byte
	taken [][]byte
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		DeliveryStreamName string
		Records            []record
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.DeliveryStreamName != stream ||
		r.Header.Get("X-Amz-Target") != "Firehose_20150804.PutRecordBatch" ||
		!strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/firehose/aws4_request") ||
		r.ContentLength > maxCallBytes {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"ValidationException","message":"%v: %d bytes for %s"}`, err, r.ContentLength,
			in.DeliveryStreamName)
		return
	}
	records := make([][]byte, len(in.Records))
	for i := range records {
		records[i] = in.Records[i].Data
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, records)
	var codes map[int]string
	if s.answer != nil {
		var done bool
		if codes, done = s.answer(w, len(s.calls), records); done {
			return
		}
	}
	type response struct{ RecordID, ErrorCode, ErrorMessage string }
	out := struct {
		FailedPutCount   int
		RequestResponses []response
	}{FailedPutCount: len(codes)}
	for i, data := range records {
		if codes[i] != "" {
			out.RequestResponses = append(out.RequestResponses, response{ErrorCode: codes[i], ErrorMessage: "slow down"})
			continue
		}
		s.taken = append(s.taken, data)
		out.RequestResponses = append(out.RequestResponses, response{RecordID: "x"})
	}
	_ = json.NewEncoder(w).Encode(out)
}

// Do answers without a socket, so that time in a test is virtual.
func (s *service) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (s *service) open() *Stream {
	return New(aws.Config{Region: "eu-west-1", HTTPClient: s,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}, stream)
}

func TestAStreamAndItsBucketAreAnArchive(t *testing.T) {
	storetest.RunAppender(t, func(*testing.T) storetest.Pair {
		s, objects := &service{}, s3test.New()
		store := s3store.Open(aws.Config{Region: "eu-west-1", HTTPClient: objects, BaseEndpoint: aws.String("http://s3.test"),
			Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}, "bucket")
		return storetest.Pair{Appender: s.open(), Store: store, Settle: func(*testing.T) {
			if len(s.taken) > 0 {
				objects.Set("bucket", storetest.Name(time.Now(), stream+"-1-2026-11-27-14-05-10-uuid"), slices.Concat(s.taken...))
			}
		}}
	})
}

// frames are n frames of a size each. Firehose does not look into them.
func frames(n, size int) []archive.Frame {
	all := make([]archive.Frame, n)
	for i := range all {
		all[i] = archive.Frame{Data: fmt.Appendf(nil, "%0*d", size, i), Records: 1}
	}
	return all
}

func TestManyFramesAreSeveralCallsWithinTheLimits(t *testing.T) {
	for _, c := range []struct{ frames, size, calls int }{
		{1, 10, 1}, {500, 10, 1}, {501, 10, 2}, {1500, 10, 3}, {4, archive.MaxFrameBytes, 1}, {5, archive.MaxFrameBytes, 2},
		{40, 100 << 10, 2},
	} {
		s := &service{}
		synctest.Test(t, func(t *testing.T) { // so that a slow machine is no slow Firehose
			if err := s.open().Put(t.Context(), frames(c.frames, c.size)); err != nil {
				t.Errorf("%d frames of %d bytes: %v", c.frames, c.size, err)
			}
		})
		if len(s.calls) != c.calls || len(s.taken) != c.frames {
			t.Errorf("%d frames of %d bytes: %d calls with %d records, want %d calls", c.frames, c.size, len(s.calls),
				len(s.taken), c.calls)
		}
	}
}

// put puts ten frames, and returns which are not archived, how long it took and how many calls it
// made.
func put(t *testing.T, answer func(http.ResponseWriter, int, [][]byte) (map[int]string, bool)) (left []int, s *service,
	took time.Duration, err error) {
	t.Helper()
	s = &service{answer: answer}
	begun := time.Now()
	err = s.open().Put(t.Context(), frames(10, 8))
	return archive.Unarchived(10, err), s, time.Since(begun), err
}

func TestOnlyTheRecordsThatFailedArePutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, s, took, err := put(t, func(_ http.ResponseWriter, call int, _ [][]byte) (map[int]string, bool) {
			if call == 1 {
				return map[int]string{1: "ServiceUnavailableException", 7: "InternalFailure"}, false
			}
			return nil, false
		})
		if err != nil || len(left) > 0 || len(s.calls) != 2 || len(s.calls[1]) != 2 || len(s.taken) != 10 ||
			took > time.Second {
			t.Errorf("%v are left, %d calls, %d records in %v: %v", left, len(s.calls), len(s.taken), took, err)
		}
		if got := string(s.calls[1][1]); got != "00000007" {
			t.Errorf("%s was put again", got)
		}
	})
}

func TestRecordsThatAlwaysFailAreNamedAndTheOthersAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, s, took, err := put(t, func(_ http.ResponseWriter, _ int, records [][]byte) (map[int]string, bool) {
			codes := map[int]string{}
			for i, r := range records {
				if n := r[len(r)-1]; n == '3' || n == '4' {
					codes[i] = "ServiceUnavailableException"
				}
			}
			return codes, false
		})
		if !slices.Equal(left, []int{3, 4}) || len(s.calls) != attempts || len(s.taken) != 8 || took > time.Second ||
			!strings.Contains(err.Error(), "archive 2 of 10 frames: put a record into the Firehose stream "+stream) ||
			!strings.Contains(err.Error(), "ServiceUnavailableException: slow down") {
			t.Errorf("%v are left, %d calls, %d records in %v: %v", left, len(s.calls), len(s.taken), took, err)
		}
	})
}

func TestACallThatFailsIsMadeAgainOnlyIfThatMayHelp(t *testing.T) {
	for _, c := range []struct {
		status     int
		code, want string
		calls      int
	}{
		{400, "AccessDeniedException", "the role needs firehose:PutRecordBatch", 1},
		{400, "ResourceNotFoundException", "deploy the stack again", 1},
		{400, "InvalidKMSResourceException", "InvalidKMSResourceException", 1},
		{400, "ThrottlingException", "ThrottlingException", attempts},
		{500, "ServiceUnavailableException", "ServiceUnavailableException", attempts},
		{503, "", "HTTP 503", attempts},
		{200, "", "an answer for 0 of 10 records came from Firehose", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			left, s, took, err := put(t, func(w http.ResponseWriter, _ int, _ [][]byte) (map[int]string, bool) {
				w.Header().Set("X-Amzn-ErrorType", c.code)
				w.WriteHeader(c.status)
				fmt.Fprint(w, `{}`)
				return nil, true
			})
			if len(left) != 10 || len(s.calls) != c.calls || took > time.Second || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d %s: %d are left after %d calls and %v: %v", c.status, c.code, len(left), len(s.calls), took, err)
			}
		})
	}
}

// A connection may have died while the environment slept.
func TestACallThatHangsOnceIsMadeAgainInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := 1
		s := &service{}
		c := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
			HTTPClient: client(func(r *http.Request) (*http.Response, error) {
				if hang--; hang >= 0 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return s.Do(r)
			})}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // as deliver gives it
		defer cancel()
		begun := time.Now()
		if err := New(c, stream).Put(ctx, frames(10, 8)); err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		hang = 9
		err := New(c, stream).Put(ctx, frames(10, 8))
		if len(archive.Unarchived(10, err)) != 10 || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begun) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

type client func(*http.Request) (*http.Response, error)

func (c client) Do(r *http.Request) (*http.Response, error) { return c(r) }
