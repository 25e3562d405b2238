package sqs

import (
	"encoding/base64"
	"maps"
	"slices"
	"unicode/utf8"
)

// actionTable is every action of the emulator.
func actionTable() map[string]action {
	return map[string]action{
		"CreateQueue":                decoded(createQueue),
		"DeleteQueue":                onQueue(deleteQueue),
		"GetQueueAttributes":         onQueue(getQueueAttributes),
		"GetQueueUrl":                decoded(getQueueURL),
		"ListDeadLetterSourceQueues": onQueue(listSources),
		"ListQueueTags":              onQueue(listQueueTags),
		"ListQueues":                 decoded(listQueues),
		"PurgeQueue":                 onQueue(purgeQueue),
		"SetQueueAttributes":         onQueue(setQueueAttributes),
		"TagQueue":                   onQueue(tagQueue),
		"UntagQueue":                 onQueue(untagQueue),

		"ChangeMessageVisibility":      onQueue(changeMessageVisibility),
		"ChangeMessageVisibilityBatch": onQueue(changeMessageVisibilityBatch),
		"DeleteMessage":                onQueue(deleteMessage),
		"DeleteMessageBatch":           onQueue(deleteMessageBatch),
		"ReceiveMessage":               receiveMessage,
		"SendMessage":                  onQueue(sendMessage),
		"SendMessageBatch":             onQueue(sendMessageBatch),

		"CancelMessageMoveTask": decoded(cancelMessageMoveTask),
		"ListMessageMoveTasks":  decoded(listMessageMoveTasks),
		"StartMessageMoveTask":  decoded(startMessageMoveTask),

		"AddPermission":    onQueue(addPermission),
		"RemovePermission": onQueue(removePermission),
	}
}

// decoded makes an action of a function that gets the decoded request.
func decoded[T any](f func(call, *T) (any, error)) action {
	return func(c call, body []byte) (any, func(), error) {
		var in T
		if err := decode(body, &in); err != nil {
			return nil, nil, err
		}
		out, err := f(c, &in)
		return out, nil, err
	}
}

// queueURL is embedded in the requests that name a queue.
type queueURL struct{ QueueUrl string }

func (u queueURL) url() string { return u.QueueUrl }

// onQueue makes an action of a function that gets the decoded request and its queue.
func onQueue[T interface{ url() string }](f func(call, *Queue, *T) (any, error)) action {
	return decoded(func(c call, in *T) (any, error) {
		q, err := c.queue((*in).url())
		if err != nil {
			return nil, err
		}
		return f(c, q, in)
	})
}

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLOutput struct{ QueueUrl string }

func createQueue(c call, in *createQueueInput) (any, error) {
	if in.QueueName == "" {
		return nil, errMissingParameter("QueueName")
	}
	if err := checkTags(in.QueueName, in.Tags); err != nil {
		return nil, err
	}
	q, created, err := c.s.queues.createQueue(in.QueueName, in.Attributes, in.Tags)
	if err != nil {
		return nil, err
	}
	if !created {
		want, err := (*settings)(nil).apply(in.Attributes)
		if err != nil {
			return nil, err
		}
		if name, differ := q.settings.Load().differs(want, slices.Collect(maps.Keys(in.Attributes))); differ {
			return nil, errQueueExists(name)
		}
	}
	return queueURLOutput{c.urlOf(q.name)}, nil
}

type deleteQueueInput struct{ queueURL }

func deleteQueue(c call, q *Queue, _ *deleteQueueInput) (any, error) {
	return nil, c.s.queues.remove(q)
}

type purgeQueueInput struct{ queueURL }

func purgeQueue(_ call, q *Queue, _ *purgeQueueInput) (any, error) { return nil, q.purge() }

type getQueueURLInput struct{ QueueName string }

func getQueueURL(c call, in *getQueueURLInput) (any, error) {
	if in.QueueName == "" {
		return nil, errMissingParameter("QueueName")
	}
	q, ok := c.s.Queue(in.QueueName)
	if !ok {
		return nil, errNoSuchQueue()
	}
	return queueURLOutput{c.urlOf(q.name)}, nil
}

type getQueueAttributesInput struct {
	queueURL
	AttributeNames []string
}

type attributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func getQueueAttributes(_ call, q *Queue, in *getQueueAttributesInput) (any, error) {
	vs := q.attributes()
	if slices.Contains(in.AttributeNames, "All") {
		return attributesOutput{vs}, nil
	}
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		v, ok := vs[name]
		switch {
		case ok:
			out[name] = v
		case optionalAttribute(name):
		default:
			return nil, errInvalidAttributeName(name)
		}
	}
	return attributesOutput{out}, nil
}

// optionalAttribute reports whether SQS has an attribute that a queue may lack.
func optionalAttribute(name string) bool {
	return name == "RedrivePolicy" || name == "RedriveAllowPolicy" || name == "KmsDataKeyReusePeriodSeconds" ||
		textAttribute(name) || fifoAttribute(name)
}

type setQueueAttributesInput struct {
	queueURL
	Attributes map[string]string
}

func setQueueAttributes(_ call, q *Queue, in *setQueueAttributesInput) (any, error) {
	if len(in.Attributes) == 0 {
		return nil, errMissingParameter("Attribute.Name")
	}
	return nil, q.setAttributes(in.Attributes)
}

type page struct {
	MaxResults *int
	NextToken  string
}

// cut returns the names of the requested page and the token of the next page. Without MaxResults it
// returns up to 1,000 names and no token, as in SQS.
func (p page) cut(names []string) ([]string, string, error) {
	limit := 1000
	if p.MaxResults != nil {
		if *p.MaxResults < 1 || *p.MaxResults > 1000 {
			return nil, "", errInvalidParameter("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 "+
				"and 1000.", *p.MaxResults)
		}
		limit = *p.MaxResults
	}
	if p.NextToken != "" {
		after, err := base64.StdEncoding.DecodeString(p.NextToken)
		if err != nil {
			return nil, "", errInvalidParameter("Invalid or expired next token.")
		}
		i, found := slices.BinarySearch(names, string(after))
		if found {
			i++
		}
		names = names[i:]
	}
	if len(names) <= limit {
		return names, "", nil
	}
	names = names[:limit]
	if p.MaxResults == nil {
		return names, "", nil
	}
	return names, base64.StdEncoding.EncodeToString([]byte(names[limit-1])), nil
}

type listQueuesInput struct {
	page
	QueueNamePrefix string
}

type listQueuesOutput struct {
	QueueUrls []string `json:",omitempty"`
	NextToken string   `json:",omitempty"`
}

func listQueues(c call, in *listQueuesInput) (any, error) {
	var names []string
	for _, q := range c.s.queues.list(in.QueueNamePrefix) {
		names = append(names, q.name)
	}
	names, token, err := in.cut(names)
	return listQueuesOutput{c.urlsOf(names), token}, err
}

type listSourcesInput struct {
	queueURL
	page
}

type listSourcesOutput struct {
	QueueUrls []string `json:"queueUrls"` // lower case, as in no other action
	NextToken string   `json:",omitempty"`
}

func listSources(c call, q *Queue, in *listSourcesInput) (any, error) {
	var names []string
	for _, source := range c.s.queues.sourcesOf(q) {
		names = append(names, source.name)
	}
	names, token, err := in.cut(names)
	return listSourcesOutput{c.urlsOf(names), token}, err
}

type tagQueueInput struct {
	queueURL
	Tags map[string]string
}

const maxTags = 50

// checkTags applies SQS's rules for all tags of a queue. Lengths are in characters.
func checkTags(queue string, tags map[string]string) error {
	if len(tags) > maxTags {
		return errInvalidParameter("Too many tags added for queue %s.", queue)
	}
	for k, v := range tags {
		if err := checkTagKey(k); err != nil {
			return err
		}
		if utf8.RuneCountInString(v) > 256 {
			return errInvalidParameter("Tag values must be between 0 and 256 characters in length.")
		}
	}
	return nil
}

func checkTagKey(k string) error {
	if n := utf8.RuneCountInString(k); n < 1 || n > 128 {
		return errInvalidParameter("Tag keys must be between 1 and 128 characters in length.")
	}
	return nil
}

func tagQueue(_ call, q *Queue, in *tagQueueInput) (any, error) {
	if len(in.Tags) == 0 {
		return nil, errMissingParameter("Tags")
	}
	return nil, q.setTags(func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		return checkTags(q.name, tags)
	})
}

type untagQueueInput struct {
	queueURL
	TagKeys []string
}

func untagQueue(_ call, q *Queue, in *untagQueueInput) (any, error) {
	if len(in.TagKeys) == 0 {
		return nil, checkTagKey("")
	}
	return nil, q.setTags(func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			if err := checkTagKey(k); err != nil {
				return err
			}
			delete(tags, k)
		}
		return nil
	})
}

type listQueueTagsInput struct{ queueURL }

type tagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

func listQueueTags(_ call, q *Queue, _ *listQueueTagsInput) (any, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return tagsOutput{maps.Clone(q.tags)}, nil
}
