package sqs

import (
	"errors"
	"time"
)

type deleteMessageInput struct {
	queueURL
	ReceiptHandle string
}

func deleteMessage(_ call, q *Queue, in *deleteMessageInput) (any, error) {
	if in.ReceiptHandle == "" {
		return nil, errMissingParameter("ReceiptHandle")
	}
	h, err := parseHandle(in.ReceiptHandle, q.id)
	if err != nil {
		return nil, err
	}
	return nil, q.remove([]handle{h})
}

// batchID is the answer to an entry that has only an id.
type batchID struct{ Id string }

type deleteEntry struct{ Id, ReceiptHandle string }

type deleteMessageBatchInput struct {
	queueURL
	Entries []deleteEntry
}

func deleteMessageBatch(_ call, q *Queue, in *deleteMessageBatchInput) (any, error) {
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	if err := checkBatch("DeleteMessageBatchRequestEntry", ids); err != nil {
		return nil, err
	}
	var out batchOutput[batchID]
	hs := make([]handle, 0, len(in.Entries))
	for _, e := range in.Entries {
		h, err := parseHandle(e.ReceiptHandle, q.id)
		if err != nil {
			out.fail(e.Id, err)
			continue
		}
		hs = append(hs, h)
		out.Successful = append(out.Successful, batchID{e.Id})
	}
	if err := q.remove(hs); err != nil {
		return nil, err
	}
	return out, nil
}

type changeMessageVisibilityInput struct {
	queueURL
	ReceiptHandle     string
	VisibilityTimeout *int
}

func changeMessageVisibility(_ call, q *Queue, in *changeMessageVisibilityInput) (any, error) {
	if in.ReceiptHandle == "" {
		return nil, errMissingParameter("ReceiptHandle")
	}
	if in.VisibilityTimeout == nil {
		return nil, errMissingParameter("VisibilityTimeout")
	}
	err := changeVisibilityOf(q, in.ReceiptHandle, *in.VisibilityTimeout)
	if errors.Is(err, errNotAvailable) {
		return nil, errInvalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or "+
			"is not available for visibility timeout change.", in.ReceiptHandle)
	}
	return nil, err
}

func changeVisibilityOf(q *Queue, receiptHandle string, seconds int) error {
	if err := checkVisibility(seconds); err != nil {
		return err
	}
	h, err := parseHandle(receiptHandle, q.id)
	if err != nil {
		return err
	}
	return q.changeVisibility(h, time.Duration(seconds)*time.Second)
}

type changeMessageVisibilityBatchInput struct {
	queueURL
	Entries []struct {
		Id                string
		ReceiptHandle     string
		VisibilityTimeout int
	}
}

func changeMessageVisibilityBatch(_ call, q *Queue, in *changeMessageVisibilityBatchInput) (any, error) {
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	if err := checkBatch("ChangeMessageVisibilityBatchRequestEntry", ids); err != nil {
		return nil, err
	}
	var out batchOutput[batchID]
	for _, e := range in.Entries {
		err := changeVisibilityOf(q, e.ReceiptHandle, e.VisibilityTimeout)
		if errors.Is(err, errNotAvailable) { // another code than in ChangeMessageVisibility
			err = clientError(sqsShape+"ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
				"Message does not exist or is not available for visibility timeout change")
		}
		if err != nil {
			out.fail(e.Id, err)
			continue
		}
		out.Successful = append(out.Successful, batchID{e.Id})
	}
	return out, nil
}
