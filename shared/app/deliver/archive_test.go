package deliver

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The stream is all that the function needs to archive: what it delivers is in Firehose before the
// invocation ends.
func TestTheFunctionArchivesIntoTheStreamOfItsEnvironment(t *testing.T) {
	var stream string
	var records int
	firehose := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			DeliveryStreamName string
			Records            []struct{ Data []byte }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		stream, records = in.DeliveryStreamName, len(in.Records)
		_, _ = io.WriteString(w, `{"FailedPutCount":0,"RequestResponses":[{"RecordId":"1"}]}`)
	}))
	defer firehose.Close()
	segment := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer segment.Close()
	for variable, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none",
		"AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL_FIREHOSE": firehose.URL} {
		t.Setenv(variable, value)
	}
	h, err := FromEnvironment(t.Context(), complete("SPILLWAY_ARCHIVE_STREAM=shop-archive", "SPILLWAY_WRITE_KEY=k",
		"SPILLWAY_SEGMENT_ENDPOINT="+segment.URL), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	response, err := h.Invoke(t.Context(), []byte(oneEvent))
	if err != nil || strings.Contains(string(response), "itemIdentifier") || stream != "shop-archive" || records != 1 {
		t.Errorf("answered %s, %v; %d records in the stream %q", response, err, records, stream)
	}
}
