;;; scrubjay-next-edit.el --- Where to make the same change once more  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; After a change, the place where it is to be made once more is shown: the old
;; text struck through, the new one after it.  TAB goes there, and TAB again
;; makes it.  `scrubjay-next-edit' switches it on.

;;; Code:

(require 'cl-lib)
(require 'scrubjay-document)
(require 'scrubjay-server)
(eval-when-compile (require 'subr-x))

(defcustom scrubjay-next-edit-delay 0.3
  "Idle seconds after a change before the next edit is asked for."
  :type 'number
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defface scrubjay-next-edit-old '((t :inherit shadow :strike-through t))
  "Text that a next edit would take out."
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defface scrubjay-next-edit-new '((t :inherit success))
  "Text that a next edit would put in."
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(defvar scrubjay-next-edit-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'scrubjay-take-next-edit)
    (define-key map (kbd "<tab>") #'scrubjay-take-next-edit)
    (define-key map [remap keyboard-quit] #'scrubjay-drop-next-edit)
    map)
  "Keys while a next edit is shown, and at no other time.")

(defvar-local scrubjay-next-edit-shown nil
  "The next edit that is shown in this buffer, as the server gave it, or nil.
It makes the keys of `scrubjay-next-edit-map' active.")

(defvar-local scrubjay-next-edit--overlay nil
  "The overlay that shows it, if it is in this buffer.")

(defvar scrubjay-next-edit--timer nil
  "Asks when no key has come for `scrubjay-next-edit-delay' seconds.")

;;;; Asking

(defun scrubjay-next-edit-changed ()
  "This buffer has another text: show nothing now, and ask later."
  (scrubjay-next-edit-hide)
  (when scrubjay-next-edit--timer
    (cancel-timer scrubjay-next-edit--timer))
  (when scrubjay-next-edit
    (setq scrubjay-next-edit--timer (run-with-timer scrubjay-next-edit-delay nil #'scrubjay-next-edit--ask
                                                    (current-buffer) (buffer-chars-modified-tick)))))

(defun scrubjay-next-edit--here-p (buffer tick)
  "Return non-nil if the user is in BUFFER, and its tick is TICK."
  (and (buffer-live-p buffer)
       (eq buffer (window-buffer (selected-window)))
       (= tick (buffer-chars-modified-tick buffer))))

(defun scrubjay-next-edit--ask (buffer tick)
  "Ask what is to be edited next by a user in BUFFER, if its tick is TICK."
  (with-demoted-errors "Scrubjay: %S"
    (when (scrubjay-next-edit--here-p buffer tick)
      (with-current-buffer buffer
        (when (scrubjay-document-sync)
          (scrubjay-server-request
           :textDocument/copilotInlineEdit
           `( :textDocument (:uri ,(scrubjay-document-uri) :version ,(scrubjay-document-version))
              :position ,(scrubjay-document-position (point)))
           (lambda (answer)
             (when (scrubjay-next-edit--here-p buffer tick)
               (with-current-buffer buffer
                 (scrubjay-next-edit--take (plist-get answer :edits)))))))))))

(defun scrubjay-next-edit--take (edits)
  "Show the first of EDITS, a vector, if there is one."
  (when (and (> (length edits) 0) (not buffer-read-only))
    (scrubjay-next-edit--show (aref edits 0))
    (scrubjay-server-notify :textDocument/didShowInlineEdit
                            `(:item (:command ,(plist-get (aref edits 0) :command))))))

;;;; Showing it

(defun scrubjay-next-edit--buffer (edit)
  "Return the buffer that EDIT is for, or nil."
  (let ((uri (scrubjay-next-edit--uri edit)))
    (cl-find-if (lambda (buffer)
                  (with-current-buffer buffer (equal (scrubjay-document-uri) uri)))
                (buffer-list))))

(defun scrubjay-next-edit--uri (edit)
  "Return the URI of the document that EDIT is for."
  (plist-get (plist-get edit :textDocument) :uri))

(defun scrubjay-next-edit--bounds (edit)
  "Return where the text that EDIT would replace begins and ends in this buffer."
  (let ((range (plist-get edit :range)))
    (cons (scrubjay-document-point (plist-get range :start))
          (scrubjay-document-point (plist-get range :end)))))

(defun scrubjay-next-edit--show (edit)
  "Show EDIT in its place, or say where that is if it is in another buffer."
  (scrubjay-next-edit-hide)
  (let ((buffer (scrubjay-next-edit--buffer edit)))
    (when buffer
      (setq scrubjay-next-edit-shown edit)
      (if (eq buffer (current-buffer))
          (scrubjay-next-edit--draw edit)
        (message "Next edit: %s, line %d; TAB goes there." (buffer-name buffer)
                 (1+ (plist-get (plist-get (plist-get edit :range) :start) :line)))))))

(defun scrubjay-next-edit--draw (edit)
  "Show EDIT, which is in this buffer."
  (pcase-let* ((`(,start . ,end) (scrubjay-next-edit--bounds edit))
               ;; An edit of whole lines ends where the next one begins, which is too far down to be seen as its end.
               (shown-end (if (and (> end start) (eq (char-before end) ?\n)) (1- end) end))
               (overlay (make-overlay start shown-end)))
    (overlay-put overlay 'face 'scrubjay-next-edit-old)
    (overlay-put overlay 'priority 90)
    (overlay-put overlay 'after-string (propertize (concat (and (> shown-end start) " ")
                                                           (string-remove-suffix "\n" (plist-get edit :text)))
                                                   'face 'scrubjay-next-edit-new))
    (setq scrubjay-next-edit--overlay overlay)))

(defun scrubjay-next-edit-hide ()
  "Show no next edit in this buffer."
  (setq scrubjay-next-edit-shown nil)
  (when (overlayp scrubjay-next-edit--overlay)
    (delete-overlay scrubjay-next-edit--overlay)
    (setq scrubjay-next-edit--overlay nil)))

;;;; Making it, or not

(defun scrubjay-take-next-edit ()
  "Go where the next edit is; where the cursor is in one of its lines, make it."
  (interactive)
  (let* ((edit (or scrubjay-next-edit-shown (user-error "There is no next edit here")))
         (buffer (scrubjay-next-edit--buffer edit)))
    (cond ((not (buffer-live-p buffer))
           (scrubjay-next-edit-hide)
           (user-error "The buffer of the next edit is gone"))
          ((and (eq buffer (current-buffer)) (scrubjay-next-edit--at-p edit))
           (scrubjay-next-edit--make edit))
          (t (scrubjay-next-edit-hide)
             (pop-to-buffer-same-window buffer)
             (push-mark nil t)
             (goto-char (car (scrubjay-next-edit--bounds edit)))
             (scrubjay-next-edit--show edit)))))

(defun scrubjay-next-edit--at-p (edit)
  "Return non-nil if the cursor is in one of the lines that EDIT would change."
  (pcase-let ((`(,start . ,end) (scrubjay-next-edit--bounds edit)))
    (and (>= (point) (save-excursion (goto-char start) (line-beginning-position)))
         (<= (point) (save-excursion (goto-char end) (line-end-position))))))

(defun scrubjay-next-edit--make (edit)
  "Make EDIT in this buffer."
  (scrubjay-next-edit-hide)
  (scrubjay-document-sync)
  (unless (eql (scrubjay-document-version) (plist-get (plist-get edit :textDocument) :version))
    (user-error "The text has changed since"))
  (barf-if-buffer-read-only)
  (pcase-let ((`(,start . ,end) (scrubjay-next-edit--bounds edit)))
    (undo-boundary)
    (goto-char start)
    (delete-region start end)
    (insert (plist-get edit :text)))
  (when (scrubjay-document-sync)
    (scrubjay-server-execute "scrubjay.acceptEdit" (scrubjay-next-edit--arguments edit))))

(defun scrubjay-drop-next-edit ()
  "Hide the next edit; it does not come back."
  (interactive)
  (when-let ((edit scrubjay-next-edit-shown))
    (scrubjay-server-execute "scrubjay.rejectEdit" (scrubjay-next-edit--arguments edit))
    (scrubjay-next-edit-hide)))

(defun scrubjay-next-edit--arguments (edit)
  "Return the arguments of the commands about EDIT, a list."
  (append (plist-get (plist-get edit :command) :arguments) nil))

(provide 'scrubjay-next-edit)
;;; scrubjay-next-edit.el ends here
