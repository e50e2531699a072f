;;; scrubjay-gptel.el --- Gptel with Scrubjay's daemon  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; `scrubjay-gptel-make-backend' makes the daemon a backend of gptel; start it
;; with `--http 127.0.0.1:8012'.
;;
;; With `scrubjay-gptel-preload-mode', a file of gptel's context that is saved
;; or reverted is read by the model at once, so that the next request finds it
;; warm.  A request of yours ends that; what was read by then stays.

;;; Code:

(require 'cl-lib)
(require 'url)

(defvar gptel-backend)
(defvar gptel-context)
(defvar gptel-prompt-transform-functions)
(defvar url-http-end-of-headers)
(declare-function gptel-make-openai "ext:gptel-openai")
(declare-function gptel-request "ext:gptel-request")
(declare-function gptel-fsm-info "ext:gptel-request")
(declare-function gptel-backend-host "ext:gptel-request")
(declare-function gptel-backend-url "ext:gptel-request")

(defcustom scrubjay-gptel-host "127.0.0.1:8012"
  "Where the daemon listens for gptel, as given to it with `--http'.
Nothing is ever preloaded elsewhere."
  :type 'string
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-gptel-preload-delay 2
  "Seconds after the last save or revert before the context is read."
  :type 'number
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defvar scrubjay-gptel--timer nil
  "Begins a preload.")

(defvar scrubjay-gptel--preload nil
  "The buffer of the preload that is under way, or nil.")

(defvar scrubjay-gptel--chat nil
  "The buffer of the last request.")

(defvar scrubjay-gptel--is-preload nil
  "Non-nil while a preload is being made up.")

;;;###autoload
(defun scrubjay-gptel-make-backend (&optional name)
  "Make the daemon a backend of gptel, and return it.
NAME is what gptel calls it, by default Scrubjay."
  (require 'gptel-openai)
  (gptel-make-openai (or name "Scrubjay")
    :host scrubjay-gptel-host
    :protocol "http"
    :endpoint "/v1/chat/completions"
    :key "none"
    :stream t
    :models '(scrubjay)
    :request-params '(:cache_prompt t)))

;;;###autoload
(define-minor-mode scrubjay-gptel-preload-mode
  "Have files of gptel's context read by the model as soon as they are saved."
  :global t
  :group 'scrubjay
  (let ((change (if scrubjay-gptel-preload-mode #'add-hook #'remove-hook)))
    (funcall change 'after-save-hook #'scrubjay-gptel--file-changed)
    (funcall change 'after-revert-hook #'scrubjay-gptel--file-changed)
    (when (require 'gptel nil t)
      (funcall change 'gptel-prompt-transform-functions #'scrubjay-gptel--requested)))
  (unless scrubjay-gptel-preload-mode
    (scrubjay-gptel-abort)))

(defun scrubjay-gptel-abort ()
  "End the preload that waits or is under way; nothing that was read is lost."
  (interactive)
  (when scrubjay-gptel--timer
    (cancel-timer scrubjay-gptel--timer)
    (setq scrubjay-gptel--timer nil))
  (when-let ((buffer scrubjay-gptel--preload))
    (setq scrubjay-gptel--preload nil)
    (when-let ((process (get-buffer-process buffer)))
      (set-process-sentinel process #'ignore)
      (delete-process process))
    (when (buffer-live-p buffer)
      (kill-buffer buffer))))

(defun scrubjay-gptel--requested (fsm)
  "FSM is a request of the user: it comes first."
  (unless scrubjay-gptel--is-preload
    (setq scrubjay-gptel--chat (plist-get (gptel-fsm-info fsm) :buffer))
    (scrubjay-gptel-abort)))

(defun scrubjay-gptel--file-changed ()
  "This buffer was saved or reverted: preload it soon if it is context."
  (when (and buffer-file-name (scrubjay-gptel--in-context-p buffer-file-name))
    (scrubjay-gptel-abort)
    (setq scrubjay-gptel--timer
          (run-with-timer scrubjay-gptel-preload-delay nil #'scrubjay-gptel--begin))))

(defun scrubjay-gptel--in-context-p (file)
  "Return non-nil if FILE or its buffer is in gptel's context.
Links to it count as well."
  (let ((true (file-truename file)))
    (cl-some (lambda (entry)
               (let ((source (if (consp entry) (car entry) entry)))
                 (if (bufferp source)
                     (eq source (find-buffer-visiting file))
                   (and (stringp source) (string= true (file-truename source))))))
             (and (boundp 'gptel-context) gptel-context))))

(defun scrubjay-gptel--chat-buffer ()
  "Return the buffer from which the next request is likely to come, or nil."
  (if (buffer-live-p scrubjay-gptel--chat)
      scrubjay-gptel--chat
    (cl-find-if (lambda (buffer) (buffer-local-value 'gptel-mode buffer))
                (cl-remove-if-not (lambda (buffer) (local-variable-p 'gptel-mode buffer))
                                  (buffer-list)))))

(defun scrubjay-gptel--begin ()
  "Have the model read what a request would send now, and say nothing."
  (setq scrubjay-gptel--timer nil)
  (with-demoted-errors "Scrubjay: %S"
    (when-let ((chat (scrubjay-gptel--chat-buffer)))
      (with-current-buffer chat
        (when (equal (gptel-backend-host gptel-backend) scrubjay-gptel-host)
          (when-let ((data (scrubjay-gptel--request-data)))
            (scrubjay-gptel--send (scrubjay-gptel--silenced data))))))))

(defun scrubjay-gptel--request-data ()
  "Return what gptel would send for this buffer, a plist.
Return nil if that takes gptel a while to find out."
  (let* ((scrubjay-gptel--is-preload t)
         (fsm (save-excursion
                (goto-char (point-max))
                (gptel-request nil :dry-run t :transforms gptel-prompt-transform-functions)))
         (data (plist-get (gptel-fsm-info fsm) :data)))
    (and (consp data) data)))

(defun scrubjay-gptel--silenced (data)
  "Return DATA, the fields of a request, as one without an answer."
  (append '(:n_predict 0 :stream :json-false)
          (cl-loop for (key value) on data by #'cddr
                   unless (memq key '(:stream :stream_options :max_tokens :max_completion_tokens))
                   append (list key value))))

(defun scrubjay-gptel--send (data)
  "Send DATA to the daemon; nobody waits for the answer."
  (let ((url-request-method "POST")
        (url-request-extra-headers '(("Content-Type" . "application/json")))
        (url-request-data (encode-coding-string
                           (json-serialize data :null-object :null :false-object :json-false) 'utf-8)))
    (setq scrubjay-gptel--preload
          (url-retrieve (concat "http://" scrubjay-gptel-host "/v1/chat/completions")
                        #'scrubjay-gptel--done nil t t))))

(defun scrubjay-gptel--done (status)
  "The preload has ended with STATUS."
  (when (eq scrubjay-gptel--preload (current-buffer))
    (setq scrubjay-gptel--preload nil))
  (when-let ((problem (plist-get status :error)))
    (message "Scrubjay: the context was not preloaded: %S" problem))
  (kill-buffer (current-buffer)))

(provide 'scrubjay-gptel)
;;; scrubjay-gptel.el ends here
