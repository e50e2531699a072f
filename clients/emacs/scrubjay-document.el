;;; scrubjay-document.el --- Buffers in step with Scrubjay's language server  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; What the language server knows of the buffers.  They record their changes as
;; these happen, and send them when somebody asks for something.

;;; Code:

(require 'cl-lib)
(require 'url-util)
(require 'scrubjay-server)

(defcustom scrubjay-language-ids
  '((c++ . "cpp") (js . "javascript") (js2 . "javascript") (sh . "shellscript")
    (bash . "shellscript") (csharp . "csharp") (tsx . "typescriptreact")
    (js-jsx . "javascriptreact") (latex . "latex") (LaTeX . "latex"))
  "What the daemon calls a language, by its mode's name less `-mode' or `-ts-mode'.
Others have the same name there."
  :type '(alist :key-type symbol :value-type string)
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

(cl-defstruct (scrubjay-document (:conc-name scrubjay-document--) (:constructor scrubjay-document--make)
                                 (:predicate nil) (:copier nil))
  "What the server knows of a buffer."
  (connection nil :documentation "To the server that knows it.")
  (file nil :documentation "Its file when it was opened.")
  (uri nil :documentation "The URI of that file.")
  (version 0 :documentation "The last one sent.")
  (size 0 :documentation "The buffer's size with all recorded changes.")
  (changes nil :documentation "Recorded and not sent, the latest first.")
  (n-changes 0 :documentation "Number of them.")
  (begun nil :documentation "A change that is being made: its bounds, and both as positions.")
  (lost nil :documentation "Non-nil if a change was missed, so that the whole text is to be sent."))

(defvar-local scrubjay-document--here nil
  "What the server knows of this buffer, or nil.")

(defconst scrubjay-document--many-changes 200
  "With this many changes to be sent, the whole text is sent instead.")

(defun scrubjay-document-uri ()
  "Return the URI of this buffer's document, or nil if the server does not know it."
  (and scrubjay-document--here (scrubjay-document--uri scrubjay-document--here)))

(defun scrubjay-document-sync ()
  "Let the server know this buffer as it is; return non-nil if it does now."
  (when (and buffer-file-name (scrubjay-server-ensure))
    (if (scrubjay-document--known-p)
        (scrubjay-document--send-changes scrubjay-document--here)
      (scrubjay-document--open))
    t))

(defun scrubjay-document-close ()
  "Let the server forget this buffer."
  (when-let ((document scrubjay-document--here))
    (setq scrubjay-document--here nil)
    (when (eq (scrubjay-document--connection document) (scrubjay-server-connection))
      (scrubjay-server-notify :textDocument/didClose
                              `(:textDocument (:uri ,(scrubjay-document--uri document)))))))

(defun scrubjay-document-saved ()
  "Tell the server that this buffer was saved."
  (when (scrubjay-document--known-p)
    (scrubjay-document-sync)
    (scrubjay-server-notify :textDocument/didSave `(:textDocument (:uri ,(scrubjay-document-uri))))))

(defun scrubjay-document-focused ()
  "Tell the server that this buffer is being looked at."
  (when (scrubjay-document-sync)
    (scrubjay-server-notify :textDocument/didFocus `(:textDocument (:uri ,(scrubjay-document-uri))))))

(defun scrubjay-document-mark-lost ()
  "Have the whole text sent the next time."
  (when scrubjay-document--here
    (setf (scrubjay-document--lost scrubjay-document--here) t)))

(defun scrubjay-document-position (position)
  "Return POSITION as the protocol has it."
  (save-restriction
    (widen)
    (save-excursion
      (goto-char position)
      (list :line (1- (line-number-at-pos position t))
            :character (scrubjay-document--units (line-beginning-position) position)))))

(defun scrubjay-document-point (position)
  "Return where POSITION, as the protocol has it, is in this buffer."
  (save-restriction
    (widen)
    (save-excursion
      (goto-char (point-min))
      (forward-line (plist-get position :line))
      (let ((left (plist-get position :character)))
        (while (and (> left 0) (not (eolp)))
          (setq left (- left (scrubjay-document--units (point) (1+ (point)))))
          (forward-char)))
      (point))))

(defun scrubjay-document-version ()
  "Return the version of this buffer that the server was sent last, or nil."
  (and scrubjay-document--here (scrubjay-document--version scrubjay-document--here)))

;; These run at each key.  A regexp with ranges as wide as these would take
;; Emacs 15 ms to compile, each time, and `skip-chars-forward' 2 ms to read.

(defun scrubjay-document--units (start end)
  "Return the length of the text from START to END in the server's units.
It is on one line."
  (if (equal (scrubjay-server-capability :positionEncoding) "utf-32")
      (- end start)
    (cl-loop for character across (buffer-substring-no-properties start end)
             sum (if (<= #x10000 character #x10FFFF) 2 1))))

(defun scrubjay-document--text (start end)
  "Return the text from START to END as it can be sent.
What is no character becomes U+FFFD.  A carriage return, which would
end a line for the server and does not for Emacs, becomes a space."
  (let ((text (buffer-substring-no-properties start end)))
    (if (scrubjay-document--plain-p text)
        text
      (replace-regexp-in-string "[^\0-\uD7FF\uE000-\U0010FFFF]" "\uFFFD"
                                (string-replace "\r" " " (string-to-multibyte text)) t t))))

(defun scrubjay-document--plain-p (text)
  "Return non-nil if TEXT can be sent as it is."
  (cl-loop with last-plain = (if (multibyte-string-p text) #xD7FF #x7F)
           for character across text
           always (and (/= character ?\r)
                       (or (<= character last-plain)
                           (< #xDFFF character #x110000)))))

(defun scrubjay-document--known-p ()
  "Return non-nil if the server knows this buffer under its name."
  (when-let ((document scrubjay-document--here))
    (and (eq (scrubjay-document--connection document) (scrubjay-server-connection))
         (equal (scrubjay-document--file document) buffer-file-name))))

(defun scrubjay-document--open ()
  "Send the whole buffer under its name."
  (scrubjay-document-close)
  (let ((uri (scrubjay-document--file-uri buffer-file-name)))
    (setq scrubjay-document--here
          (scrubjay-document--make :connection (scrubjay-server-connection)
                                          :file buffer-file-name :uri uri :size (buffer-size)))
    (scrubjay-server-notify :textDocument/didOpen
                            `(:textDocument ( :uri ,uri
                                              :languageId ,(scrubjay-document--language)
                                              :version 0
                                              :text ,(scrubjay-document--whole-text))))))

(defun scrubjay-document--whole-text ()
  "Return the whole text as it can be sent."
  (save-restriction
    (widen)
    (scrubjay-document--text (point-min) (point-max))))

(defun scrubjay-document--file-uri (file)
  "Return the URI of FILE, whose links are resolved as the daemon does."
  (concat "file://" (url-hexify-string (file-truename file) url-path-allowed-chars)))

(defun scrubjay-document--language ()
  "Return the daemon's name for this buffer's language."
  (let ((name (replace-regexp-in-string "\\(-ts\\)?-mode\\'" "" (symbol-name major-mode))))
    (or (alist-get (intern name) scrubjay-language-ids) name)))

(defun scrubjay-document--send-changes (document)
  "Send what has changed in DOCUMENT, this buffer's, since the last time."
  (let ((lost (or (scrubjay-document--lost document)
                  (scrubjay-document--begun document)
                  (/= (scrubjay-document--size document) (buffer-size))))
        (changes (nreverse (scrubjay-document--changes document))))
    (setf (scrubjay-document--changes document) nil
          (scrubjay-document--n-changes document) 0
          (scrubjay-document--begun document) nil
          (scrubjay-document--lost document) nil
          (scrubjay-document--size document) (buffer-size))
    (when (or lost changes)
      (scrubjay-server-notify
       :textDocument/didChange
       `( :textDocument ( :uri ,(scrubjay-document--uri document)
                          :version ,(cl-incf (scrubjay-document--version document)))
          :contentChanges ,(if lost
                               `[(:text ,(scrubjay-document--whole-text))]
                             (vconcat (mapcar #'cdr changes))))))))

;;;; Changes as they happen

(defun scrubjay-document-before-change (start end)
  "Keep where the text from START to END, about to change, is.
For `before-change-functions'."
  (when-let ((document scrubjay-document--here))
    (unless (scrubjay-document--lost document)
      (setf (scrubjay-document--begun document)
            (let ((from (scrubjay-document-position start)))
              (list start end from (if (= start end) from (scrubjay-document-position end))))))))

(defun scrubjay-document-after-change (start end length)
  "Record that the LENGTH characters at START are now those up to END.
For `after-change-functions'."
  (when-let ((document scrubjay-document--here))
    (unless (scrubjay-document--lost document)
      (pcase (scrubjay-document--begun document)
        ;; Some primitives announce a wide change and make narrow ones: then only the whole text helps.
        (`(,(pred (= start)) ,(pred (= (+ start length))) ,from ,to)
         (scrubjay-document--record document start end length from to))
        (_ (scrubjay-document--lose document)))
      (setf (scrubjay-document--begun document) nil))))

(defun scrubjay-document--lose (document)
  "Give up what is recorded of DOCUMENT."
  (setf (scrubjay-document--lost document) t
        (scrubjay-document--changes document) nil))

(defun scrubjay-document--record (document start end length from to)
  "Record a change in DOCUMENT.
The text from position FROM to TO, LENGTH characters long, is now that
from START to END."
  (cl-incf (scrubjay-document--size document) (- end start length))
  (let ((text (scrubjay-document--text start end))
        (latest (car (scrubjay-document--changes document))))
    (if (and latest (zerop length) (eql (car latest) start))
        ;; Typing goes on where it was: one change.
        (let ((change (cdr latest)))
          (setcar latest end)
          (setcdr latest (plist-put change :text (concat (plist-get change :text) text))))
      (push (cons (and (zerop length) end)
                  (list :range (list :start from :end to) :text text))
            (scrubjay-document--changes document))
      (when (> (cl-incf (scrubjay-document--n-changes document)) scrubjay-document--many-changes)
        (scrubjay-document--lose document)))))

(provide 'scrubjay-document)
;;; scrubjay-document.el ends here
